"""SparseFool beside an oracle in NumPy, its cap and what `past` trades."""

import functools

import jax
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.attacks.nearest.sparsefool import sparsefool
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Untargeted
from tests import victims
from tests.attacks.programs import to_the_end
from tests.reference import sparsefool as reference

N, SIZE, CLASSES = 24, 40, 4
SETTINGS = {
    "the paper's": {},
    "near": {"past": 1.0, "overshoot": 0.1},
    "one step": {"deepfool_steps": 1, "past": 1.5},
}


@functools.cache
def problem():
    model = victims.two_layer_victim((SIZE,), CLASSES, seed=3, scale=4.0)
    images = victims.inputs((SIZE,), N, seed=4, low=-0.2, high=1.2).clip(0, 1)
    return model, images, victims.predicted(model, images)


def fewest(attack, goal=None, eps=np.inf):
    model, images, labels = problem()
    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    goal = Untargeted(labels) if goal is None else goal
    found = to_the_end(attack)(keys, model, threats.L0(np.float32(eps)), images, goal)
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("which", SETTINGS)
def test_goes_where_the_papers_algorithm_goes(which):
    model, images, labels = problem()
    settings = {"deepfool_steps": 50, "past": 3.0, "overshoot": 0.02, **SETTINGS[which]}
    found = fewest(sparsefool(**settings))
    weights = [np.asarray(a, float) for a in model.args[0]]
    points, won, looks = zip(
        *[
            reference.sparsefool(weights, x, y, **settings)
            for x, y in zip(images.astype(float), labels, strict=True)
        ],
        strict=True,
    )
    won = np.array(won) & (np.array(looks) < 40)  # Rounding adds up.
    assert won.mean() > 0.8 and max(np.array(looks)[won]) > 4
    np.testing.assert_array_equal(found.forwards[won], np.array(looks)[won] + 1)
    np.testing.assert_allclose(found.x_adv[won], np.array(points)[won], atol=2e-4)
    moved = (np.abs(points - images) > 1e-5).sum(axis=1)
    np.testing.assert_array_equal(found.distance[won], moved[won])
    assert (moved[won] < SIZE / 2).mean() > 0.8


def test_a_plane_further_past_takes_more_coordinates_and_fewer_looks():
    near, far = fewest(sparsefool(past=1.0)), fewest(sparsefool(past=3.0))
    assert (near.margin >= 0).all() and (far.margin >= 0).all()
    assert np.median(near.distance / far.distance) < 0.9
    assert near.forwards.mean() > far.forwards.mean()


def test_eps_caps_the_coordinates():
    free = fewest(sparsefool(past=1.0))
    eps = np.median(free.distance)
    capped = fewest(sparsefool(past=1.0), eps=eps)
    assert (capped.distance <= eps).all()
    assert (capped.margin >= 0)[free.distance <= eps].all()
    still = fewest(sparsefool(steps=5), eps=0.0)
    assert (still.distance == 0).all() and (still.forwards == 1 + 6).all()


def test_reaches_its_target_at_a_gradient_a_step():
    model, _, labels = problem()
    target = (labels + 1) % CLASSES
    found = fewest(sparsefool(), Reach(target))
    np.testing.assert_array_equal(found.backwards, found.forwards - 1)
    reached = victims.predicted(model, found.x_adv) == target
    np.testing.assert_array_equal(reached, found.margin >= 0)
    assert reached.mean() > 0.8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"deepfool_steps": 0}, "deepfool_steps=0; expected an integer >= 1"),
        ({"past": 0.5}, "past=0.5; expected a finite factor >= 1"),
        ({"overshoot": -0.1}, "overshoot=-0.1; expected a finite number >= 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings, said):
    with pytest.raises(ValueError, match=said):
        sparsefool(**settings)


def test_needs_l0():
    model, images, labels = problem()
    key, goal = jax.random.key(0), Untargeted(labels[0])
    with pytest.raises(ValueError, match=r"expected threats.L0 for sparsefool"):
        drive.run(sparsefool())(key, model, threats.L1(1.0), images[0], goal)
