"""The programs that the audit's attacks share."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.core import compilation, drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate.audit import drivers, ladder, stepwise

TILE, SHAPE = 8, (4,)


def affine(weights, x):
    return x @ weights


@pytest.fixture
def problem():
    draws = np.random.default_rng(0)
    model = Partial(affine, jnp.asarray(draws.normal(size=(4, 3)), jnp.float32))
    x = draws.uniform(size=(TILE, *SHAPE)).astype(np.float32)
    labels = np.argmax(x @ np.asarray(model.args[0]), axis=1)
    return lift.item_keys(0, np.arange(TILE)), model, x, Untargeted(labels)


def run(driver, problem, eps=0.1):
    keys, model, x, goal = problem
    return lift.in_tiles(driver, tile=TILE)(keys, model, threats.Linf(eps), x, goal)


def test_rungs_radii_and_the_path_of_one_kind_share_their_programs(problem):
    run(drivers.auto(ladder.single("linf")), problem)
    with compilation.recorded() as made:
        run(drivers.auto(ladder.short("linf")), problem)
        run(drivers.auto(ladder.short("linf"), to_the_end=True), problem, eps=0.2)
    assert made.so_far.lowered == 0
    with compilation.recorded() as made:
        run(stepwise.path(ladder.short("linf")), problem)
    assert made.so_far.lowered <= 1  # It judges by itself where it stands.


@pytest.mark.parametrize("rung", [ladder.single, ladder.short])
@pytest.mark.parametrize("to_the_end", [False, True])
def test_results_are_those_of_the_library_s_driver(problem, rung, to_the_end):
    ours = run(drivers.auto(rung("linf"), to_the_end=to_the_end), problem)
    theirs = run(drive.hosted(rung("linf"), to_the_end=to_the_end), problem)
    assert (np.asarray(ours.margin) >= 0).sum() > 0
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_one_step_starts_from_the_input(problem):
    once = run(drivers.auto(ladder.single("linf")), problem, eps=0.01)
    moved = np.abs(np.asarray(once.x_adv) - problem[2])
    left = np.asarray(once.margin) < 0
    inside = (problem[2] > 0.01) & (problem[2] < 0.99)
    np.testing.assert_allclose(moved[left][inside[left]], 0.01, atol=1e-6)
