"""cw_l2 beside a NumPy oracle; faces of the box, confidence and early ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.nearest import (
    _const_search as const_search,
    _tanh_box as tanh_box,
)
from robust_jax.core import drive
from robust_jax.core.types import Untargeted
from tests import victims
from tests.attacks.minimum_norm_test import affine_problem, nearest
from tests.reference import carlini_wagner

SETTINGS = {"rounds": 6, "iterations": 60, "step_size": 0.05, "first_const": 0.01}
UNBOUNDED = threats.L2(np.inf)


@pytest.mark.parametrize("slack", [0.1, 1e-6])
def test_is_the_oracle_on_an_affine_model(slack):
    model, images, labels = affine_problem()
    found = nearest(
        attacks.cw_l2(**SETTINGS, slack=slack), UNBOUNDED, model, images, labels
    )
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    oracle = [
        carlini_wagner.l2(weights, bias, x, label, **SETTINGS, slack=slack)
        for x, label in zip(images.astype(np.float64), labels, strict=True)
    ]
    distances, _, spent = zip(*oracle, strict=True)
    np.testing.assert_allclose(found.distance, distances, rtol=1e-3)
    np.testing.assert_array_equal(found.backwards, spent)
    budget = SETTINGS["rounds"] * SETTINGS["iterations"]
    assert min(spent) < budget  # Some round was aborted, ...
    np.testing.assert_array_equal(found.forwards, found.backwards + 1)


def test_confidence_is_reached_and_costs_distance():
    model, images, labels = affine_problem()
    wants, plain = (
        nearest(
            attacks.cw_l2(**SETTINGS, confidence=kappa),
            UNBOUNDED,
            model,
            images,
            labels,
        )
        for kappa in (1.0, 0.0)
    )
    assert (wants.margin >= 1).all() and (plain.margin < 1).all()
    assert (wants.distance > plain.distance).all()


@pytest.mark.parametrize("slack", [1e-6, 0.1])
def test_the_change_of_variables_at_the_faces(slack):
    x = jnp.array([0.0, 1.0, 2.0, 0.3, 1.999, 0.5])
    threat = threats.L2(1.0, 0.0, jnp.array([2.0, 2.0, 2.0, 2.0, 2.0, 0.5]))
    zero = tanh_box.at_start(x).shift
    np.testing.assert_array_equal(tanh_box.inside(threat, x, zero, slack), x)
    for size in (-40.0, -1.0, 1.0, 40.0):
        there = tanh_box.inside(threat, x, zero + size, slack)
        assert ((there >= 0) & (there <= threat.upper)).all()
        assert (np.sign(there - x)[1:5:2] == np.sign(size)).all()
    reached = tanh_box.inside(threat, x, jnp.array([40.0, 40, -40, 40, 40, 40]), slack)
    np.testing.assert_allclose(reached, [2, 2, 0, 2, 2, 0.5], atol=1e-6)


def test_a_gradient_is_pulled_back_by_the_chain_rule():
    x, shift = jnp.array([0.0, 1.0, 2.0, 0.3]), jnp.array([0.5, 0.3, -0.5, -0.2])
    threat, grad = threats.L2(1.0, 0.0, 2.0), jnp.arange(1.0, 5.0)
    _, back = jax.vjp(lambda s: tanh_box.inside(threat, x, s, 0.1), shift)
    ours = tanh_box.pulled_back(threat, x, shift, 0.1, grad)
    np.testing.assert_allclose(ours, back(grad)[0], rtol=1e-4)


def test_a_schedule_that_ends_early_ends_the_example():
    """On a flat model, every round is aborted when progress is first asked for."""
    attack, x = attacks.cw_l2(rounds=3, iterations=40), jnp.array([0.0, 0.5, 1.0])
    flat = lambda x: jnp.array([1.0, 0.0])  # noqa: E731
    run = jax.jit(lambda: drive.run(attack)(*arguments))
    arguments = jax.random.key(0), flat, UNBOUNDED, x, Untargeted(jnp.asarray(0))
    result = run()
    assert result.backwards == 3 * 5
    np.testing.assert_array_equal(result.x_adv, x)


@pytest.mark.parametrize("rounds", [9, 10])
def test_consts_rise_by_ten_then_halve_the_gap_then_repeat(rounds):
    schedule = const_search.Schedule(rounds, 2, 0.001, False)
    search, consts = const_search.begin(schedule), []
    advance = jax.jit(
        lambda s: const_search.advance(schedule, s, jnp.ones(()), s.const >= 0.3)
    )
    while not const_search.is_over(schedule, search):
        consts.append(float(search.const))
        for _ in range(2):
            search, anew = advance(search)
        assert anew
    expected = [0.001, 0.01, 0.1, 1, 0.55, 0.325, 0.2125, 0.26875, 0.296875]
    np.testing.assert_allclose(consts, [*expected, 0.325][:rounds], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds=0; expected an integer >= 1"),
        ({"iterations": 1}, "iterations=1; expected an integer >= 2"),
        ({"step_size": -1.0}, "step_size=-1.0; expected a finite number > 0"),
        ({"confidence": -0.5}, "confidence=-0.5; expected a finite number >= 0"),
        ({"slack": 0.0}, "slack=0.0; expected a finite number >= 1e-6"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        attacks.cw_l2(**arguments)


def test_refuses_other_norms():
    model, x = victims.affine_victim((3,), 3), jnp.full(3, 0.5)
    run = drive.run(attacks.cw_l2(1, 2))
    with pytest.raises(ValueError, match="threat=Linf; expected threats.L2"):
        run(jax.random.key(0), model, threats.Linf(1.0), x, Untargeted(0))
