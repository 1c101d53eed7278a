"""The nearest point of an affine net's class, beside SciPy's general solver."""

import numpy as np
import pytest
from scipy import optimize

from robust_jax import analysis


def problem(seed, n=12, classes=5):
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(n, classes)), 0.3 * rng.normal(size=classes)
    x = rng.uniform(size=n)
    order = np.argsort(x @ kernel + bias)
    return kernel, bias, x, int(order[2])  # In the middle: several classes bind.


def slsqp(kernel, bias, x, target):
    others = np.delete(np.arange(len(bias)), target)
    normals = (kernel[:, [target]] - kernel[:, others]).T
    found = optimize.minimize(
        lambda z: np.sum((z - x) ** 2),
        x,
        jac=lambda z: 2 * (z - x),
        method="SLSQP",
        bounds=[(0, 1)] * len(x),
        constraints={
            "type": "ineq",
            "fun": lambda z: normals @ z + (bias[target] - bias[others]),
            "jac": lambda z: normals,
        },
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    assert found.success
    return found.x


@pytest.mark.parametrize("seed", range(12))
def test_as_near_as_a_general_solver(seed):
    kernel, bias, x, target = problem(seed)
    ours = analysis.nearest_of_affine(kernel, bias, x, target)
    assert ours.min() >= 0 and ours.max() <= 1
    logits = ours @ kernel + bias
    assert logits[target] >= np.delete(logits, target).max() - 1e-5
    expected = np.linalg.norm(slsqp(kernel, bias, x, target) - x)
    assert np.linalg.norm(ours - x) == pytest.approx(expected, rel=1e-4)


def test_some_of_these_problems_meet_the_box_and_several_classes():
    faces = binding = 0
    for seed in range(12):
        kernel, bias, x, target = problem(seed)
        ours = analysis.nearest_of_affine(kernel, bias, x, target)
        logits = ours @ kernel + bias
        faces += bool(((ours == 0) | (ours == 1)).any())
        others = np.delete(logits, target)
        binding += int((others > logits[target] - 1e-4).sum() > 1)
    assert faces >= 4 and binding >= 4


def test_nothing_moves_what_is_seen_as_the_target():
    kernel, bias, x, _ = problem(0)
    seen = int((x @ kernel + bias).argmax())
    assert (analysis.nearest_of_affine(kernel, bias, x, seen) == x).all()


def test_a_class_out_of_reach_is_an_error():
    kernel = np.zeros((3, 2))
    kernel[:, 0] = 1e-3
    with pytest.raises(ValueError, match=r"target=1 is short of .* choose another"):
        analysis.nearest_of_affine(kernel, np.array([1.0, 0.0]), np.full(3, 0.5), 1)
