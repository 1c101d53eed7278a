"""One step of Brendel & Bethge's attack beside SciPy, and what its iterates keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from robust_jax import attacks, threats
from robust_jax.attacks.nearest.brendel_bethge import nearest_in_trust
from robust_jax.core.types import Untargeted

D, N = 5, 12
NORMS = {"linf": np.inf, "l2": 2, "l1": 1}


def problem(seed):
    """x, an iterate, a normal, what is missing and a radius; the plane is in reach."""
    rng = np.random.default_rng(seed)
    x, here = rng.uniform(size=(2, D))
    normal = rng.normal(size=D)
    radius = 0.3
    inside = np.clip(here + 0.5 * radius * rng.normal(size=D) / D**0.5, 0, 1)
    return x, here, normal, normal @ (inside - here), radius


def scipys(norm, x, here, normal, missing, radius):
    """The least distance, by SLSQP on a smooth form of the problem, from many starts.

    Linf and L1 have one and D bounds t on the displacement's size.
    """
    slacks = {"linf": 1, "l2": 0, "l1": D}[norm]

    def sizes(v):
        return np.abs(v[:D] - x)

    def value(v):
        return np.sum((v[:D] - x) ** 2) if norm == "l2" else np.sum(v[D:])

    conditions = [
        {"type": "eq", "fun": lambda v: normal @ (v[:D] - here) - missing},
        {"type": "ineq", "fun": lambda v: radius**2 - np.sum((v[:D] - here) ** 2)},
    ]
    if slacks:
        conditions += [
            {"type": "ineq", "fun": lambda v: v[D:] - (v[:D] - x)},
            {"type": "ineq", "fun": lambda v: v[D:] + (v[:D] - x)},
        ]
    best = np.inf
    for start in np.random.default_rng(0).uniform(size=(6, D)):
        first = np.concatenate([start, np.full(slacks, 1.0)])
        found = optimize.minimize(
            value,
            first,
            bounds=[(0, 1)] * D + [(0, None)] * slacks,
            constraints=conditions,
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-12},
        )
        if found.success:
            best = min(best, np.linalg.norm(sizes(found.x), NORMS[norm]))
    return best


@functools.cache
def step(norm):
    threat = threats.by_name(norm)(np.inf)
    return jax.jit(jax.vmap(functools.partial(nearest_in_trust, threat)))


@pytest.mark.parametrize("norm", NORMS)
def test_a_step_is_the_nearest_point_that_is_allowed(norm):
    problems = [problem(seed) for seed in range(N)]
    given = [np.asarray(part, np.float32) for part in zip(*problems, strict=True)]
    points = np.asarray(step(norm)(*given), np.float64)
    for point, (x, here, normal, missing, radius) in zip(points, problems, strict=True):
        assert (point >= 0).all() and (point <= 1).all()
        assert np.linalg.norm(point - here) <= radius + 1e-4
        assert abs(normal @ (point - here) - missing) < 1e-4
        least = scipys(norm, x, here, normal, missing, radius)
        assert np.isfinite(least)
        assert np.linalg.norm(point - x, NORMS[norm]) <= least + 2e-3


def test_a_plane_out_of_reach_is_gone_towards_as_far_as_allowed():
    x, here, normal, _, _ = problem(3)
    missing = 10 * np.abs(normal).sum()  # Farther than the box.
    arguments = (x, here, normal, missing, 0.05)
    arguments = [jnp.asarray(a, jnp.float32)[None] for a in arguments]
    point = np.asarray(step("l2")(*arguments)[0])
    gained = normal @ (point - here)
    way = np.linalg.norm(point - here)
    assert gained > 0 and 0.04 < way <= 0.05 + 1e-5


def test_l0_is_refused():
    attack = attacks.brendel_bethge(3)
    x = jnp.full(D, 0.5)
    with pytest.raises(
        ValueError, match="expected Linf, L2 or L1 for Brendel & Bethge"
    ):
        attack.init(
            jax.random.key(0),
            threats.L0(2.0),
            x,
            Untargeted(jnp.int32(0)),
            jnp.zeros(2),
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"step_size": 0}, "step_size=0; expected a finite number > 0"),
        ({"last_step": -1}, "last_step=-1; expected a finite number > 0"),
        ({"momentum": 1.0}, r"momentum=1.0; expected a weight in \[0, 1\)"),
        ({"overshoot": 3}, r"overshoot=3; expected a factor in \[1, 2\]"),
    ],
)
def test_bad_arguments_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        attacks.brendel_bethge(**changes)


def test_the_first_step_ends_on_the_boundary_of_an_affine_model():
    """Nothing older than its gradient is averaged into the first plane."""
    slope = jnp.array([0.3, -1.0, 0.5, 0.8, -0.2])
    x, threat = jnp.full(D, 0.5), threats.L2(np.inf)
    attack = attacks.brendel_bethge(2, step_size=1.0, last_step=1.0, overshoot=1.0)

    @jax.jit
    def first_iterate(x):
        state = attack.init(
            jax.random.key(0), threat, x, Untargeted(jnp.int32(0)), jnp.zeros(2)
        )
        model = lambda x: jnp.stack([0.1, slope @ (x - 0.5)])  # noqa: E731
        return attack.step(model, threat, state).iterate

    nearest = x + 0.1 * slope / (slope @ slope)
    np.testing.assert_allclose(first_iterate(x), nearest, atol=1e-5)
