"""The schedules of cw_linf and cw_l0, call by call, and what they freeze."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.nearest import carlini_wagner_l0
from robust_jax.core import drive, stepping
from robust_jax.core.types import Untargeted
from tests import victims
from tests.attacks import minimum_norm_test
from tests.reference import carlini_wagner, nearest_boundary

SIZE = 30


def states_of(attack, threat):
    """Input, states before each call and margins there, until the example is over."""
    model = victims.affine_victim((SIZE,), 4)
    x = jnp.asarray(victims.inputs((SIZE,), 1, seed=3, low=-0.2, high=1.2)[0]).clip(
        0, 1
    )
    goal = Untargeted(jnp.asarray(victims.predicted(model, x[None])[0]))
    threat = jax.tree.map(jnp.float32, threat)
    state = stepping.begin(attack, jax.random.key(0), model, threat, x, goal)
    step = jax.jit(lambda s: attack.step(model, threat, s))
    states = [state]
    while states[-1].i < attack.steps:
        states.append(step(states[-1]))
    states = jax.device_get(states)
    logits = np.stack([s.iterate for s in states]) @ np.asarray(model.args[0]).T
    own = logits[:, int(goal.label)].copy()
    logits[:, int(goal.label)] = -np.inf
    return np.asarray(x), states, logits.max(1) - own


def test_linf_lowers_its_bound_after_successes_and_doubles_const_after_failures():
    attack = attacks.cw_linf(
        40, 0.01, first_const=0.001, least_bound=0.02, decrease=0.95, slack=0.1
    )
    x, states, margins = states_of(attack, threats.Linf(np.inf))
    falls = doublings = since = 0
    for (old, new), margin in zip(itertools.pairwise(states), margins, strict=False):
        distance = np.abs(old.iterate - x).max()
        since += 1
        if new.own.bound < old.own.bound:
            assert margin >= 0 and distance <= old.own.bound + 1e-4
            bound = 0.95 * min(old.own.bound, distance)
            np.testing.assert_allclose(new.own.bound, bound, rtol=1e-5)
            falls, since = falls + 1, 0
        elif new.own.const > old.own.const:
            assert new.own.const == 2 * old.own.const and since == 40
            doublings, since = doublings + 1, 0
        else:
            assert margin < 0 or distance > old.own.bound - 1e-3
    assert falls >= 3 and doublings >= 3
    last = states[-1]
    assert last.own.bound <= 0.02 or last.own.const >= 20
    assert last.forwards < attack.steps  # It ended early, ...
    assert last.forwards == 1 + last.backwards == len(states)  # ... and counts calls.


def test_linf_is_the_oracle_on_an_affine_model():
    settings = {
        "iterations": 40,
        "step_size": 0.01,
        "first_const": 0.001,
        "decrease": 0.95,
        "slack": 0.1,
    }
    x, states, _ = states_of(
        attacks.cw_linf(**settings, least_bound=0.02), threats.Linf(np.inf)
    )
    weights = np.asarray(victims.affine_victim((SIZE,), 4).args[0], np.float64)
    label = int(states[0].goal.label)
    x64, zeros = x.astype(np.float64), np.zeros(4)
    iterates, bounds, consts = carlini_wagner.linf(
        weights, zeros, x64, label, calls=len(states), **settings
    )
    for k, state in enumerate(states):
        np.testing.assert_allclose(state.iterate, iterates[k], atol=1e-3, err_msg=k)
        np.testing.assert_allclose(state.own.bound, bounds[k], atol=1e-3, err_msg=k)
        np.testing.assert_allclose(state.own.const, consts[k], rtol=1e-5, err_msg=k)


def test_l0_freezes_some_after_each_success_and_never_frees():
    attack = attacks.cw_l0(5_000, 40, 0.05, first_const=0.01, slack=0.1)
    x, states, margins = states_of(attack, threats.L0(np.inf))
    successes = 0
    for (old, new), margin in zip(itertools.pairwise(states), margins, strict=False):
        frozen = old.own.free.sum() - new.own.free.sum()
        assert not (new.own.free & ~old.own.free).any()
        assert (frozen > 0) == (margin >= 0) and frozen <= np.ceil(0.3 * SIZE**0.5)
        np.testing.assert_array_equal(new.iterate[~new.own.free], x[~new.own.free])
        successes += margin >= 0
    assert successes >= 5
    assert states[-1].own.const >= 2e6 or not states[-1].own.free.any()
    assert states[-1].best.distance <= 5


def test_l0_freezes_what_elimination_by_hand_does():
    rng = np.random.default_rng(0)
    freeze = jax.jit(carlini_wagner_l0._still_free)
    for scale in (0.01, 0.1, 1.0, 1.0, 10.0):
        free = rng.random(40) < 0.8
        delta = np.where(free, rng.normal(size=40), 0).astype(np.float32)
        delta[:6] *= 1e-5
        slope = (scale * rng.normal(size=40)).astype(np.float32)
        expected = free.copy()
        expected[carlini_wagner.frozen_by_elimination(free, delta, slope)] = False
        np.testing.assert_array_equal(freeze(free, delta, slope), expected)


def test_l0_is_exact_on_most_points_of_an_affine_model():
    model, images, labels = minimum_norm_test.affine_problem()
    attack, _ = minimum_norm_test.CASES["cw_l0"]
    found = minimum_norm_test.nearest(attack, threats.L0(np.inf), model, images, labels)
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    optimum = [
        nearest_boundary.distance("l0", weights, bias, x, label)
        for x, label in zip(images.astype(np.float64), labels, strict=True)
    ]
    assert (found.distance == np.array(optimum)).mean() >= 0.9


@pytest.mark.parametrize(
    ("attack", "norm", "calls"),
    [
        (attacks.cw_linf(3, first_const=1.0, largest_const=30.0), "linf", 15),
        (attacks.cw_l0(99, 3, first_const=1.0, largest_const=30.0), "l0", 15),
    ],
)
def test_a_flat_model_costs_every_const_once(attack, norm, calls):
    x, threat = jnp.array([0.0, 0.5, 1.0]), threats.by_name(norm)(np.inf)

    def flat(x):
        return jnp.array([1.0, 0.0]) + 0 * x[0]

    goal = Untargeted(jnp.asarray(0))
    result = jax.jit(
        lambda x: drive.run(attack)(jax.random.key(0), flat, threat, x, goal)
    )(x)
    assert result.backwards == calls and result.margin == -1
    np.testing.assert_array_equal(result.x_adv, x)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (attacks.cw_linf, {"decrease": 1.0}, "decrease=1.0; expected a number in"),
        (attacks.cw_linf, {"least_bound": 0.0}, "least_bound=0.0; expected a number"),
        (attacks.cw_linf, {"largest_const": 1e-6}, "expected more than first_const="),
        (attacks.cw_l0, {"steps": 0}, "steps=0; expected an integer >= 1"),
        (attacks.cw_l0, {"largest_const": 1e-6}, "expected more than first_const="),
    ],
)
def test_refuses_bad_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("attack", "norm"), [(attacks.cw_linf(), "Linf"), (attacks.cw_l0(), "L0")]
)
def test_refuses_other_norms(attack, norm):
    x = jnp.full(3, 0.5)
    with pytest.raises(ValueError, match=rf"threat=L2; expected threats\.{norm}"):
        attack.init(jax.random.key(0), threats.L2(1.0), x, Untargeted(0), jnp.zeros(2))
