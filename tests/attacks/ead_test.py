"""ead beside a NumPy oracle; its rules, its confidence, its sparse steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import Untargeted
from tests import victims
from tests.attacks.minimum_norm_test import affine_problem, nearest
from tests.reference import ead as oracle

SETTINGS = {
    "rounds": 6,
    "iterations": 40,
    "step_size": 0.02,
    "first_const": 0.01,
    "beta": 0.02,
}
UNBOUNDED = threats.L1(np.inf)


def solved(**arguments):
    settings = {**SETTINGS, "abort_early": False, **arguments}
    return nearest(attacks.ead(**settings), UNBOUNDED, *affine_problem())


def elastic_net(x_adv, x):
    delta = np.asarray(x_adv, np.float64) - x
    return SETTINGS["beta"] * np.abs(delta).sum(1) + (delta**2).sum(1)


def test_is_the_oracle_on_an_affine_model_by_either_rule():
    model, images, labels = affine_problem()
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    l1, net = zip(
        *(
            oracle.nearest(weights, bias, x, label, **SETTINGS)
            for x, label in zip(images.astype(np.float64), labels, strict=True)
        ),
        strict=True,
    )
    by_l1, by_net = solved(), solved(rule="elastic_net")
    np.testing.assert_allclose(by_l1.distance, l1, rtol=1e-3)
    np.testing.assert_allclose(elastic_net(by_net.x_adv, images), net, rtol=1e-3)
    assert (by_net.distance > by_l1.distance).any()
    size = np.abs(np.asarray(by_net.x_adv, np.float64) - images).sum(1)
    np.testing.assert_allclose(by_net.distance, size, atol=1e-6)


def test_coordinates_that_matter_little_stay_to_the_bit():
    _, images, _ = affine_problem()
    moved = np.asarray(solved().x_adv) != images
    assert 0 < moved.mean() < 0.6


def test_confidence_is_reached_and_costs_distance():
    plain, wants = solved(), solved(confidence=1.0)
    assert (wants.margin >= 1).all() and (plain.margin < 1).any()
    assert (wants.distance > plain.distance).all()


def test_the_cap_holds_for_either_rule():
    model, images, labels = affine_problem()
    free = solved()
    cap = float(np.median(free.distance))
    for rule in ("l1", "elastic_net"):
        attack = attacks.ead(**SETTINGS, abort_early=False, rule=rule)
        capped = nearest(attack, threats.L1(cap), model, images, labels)
        assert (capped.distance <= cap).all()
        if rule == "l1":
            np.testing.assert_array_equal(capped.margin >= 0, free.distance <= cap)


def test_pytrees_in_half_precision():
    x = {"a": jnp.array([0.0, 0.5, 1.0]), "b": jnp.array([[0.9, 0.1]])}
    x = jax.tree.map(lambda a: a.astype(jnp.bfloat16), x)
    weights = jax.random.normal(jax.random.key(0), (3, 5))

    def model(x):
        return weights @ jnp.append(x["a"], x["b"]).astype(jnp.float32)

    goal = Untargeted(jnp.argmax(model(x)))
    run = drive.run(attacks.ead(4, 20, 0.02, first_const=0.1), to_the_end=True)
    result = jax.jit(lambda x: run(jax.random.key(0), model, UNBOUNDED, x, goal))(x)
    assert result.margin >= 0 and result.distance > 0
    assert {leaf.dtype.name for leaf in jax.tree.leaves(result.x_adv)} == {"bfloat16"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 0.0}, "beta=0.0; expected a finite number > 0"),
        ({"rule": "l2"}, "unknown rule 'l2'"),
        ({"confidence": float("nan")}, "confidence=nan; expected a finite number >= 0"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        attacks.ead(**arguments)


def test_refuses_other_norms():
    model, x = victims.affine_victim((3,), 3), jnp.full(3, 0.5)
    run = drive.run(attacks.ead(1, 2))
    with pytest.raises(ValueError, match=r"threat=L2; expected threats\.L1 for ead"):
        run(jax.random.key(0), model, threats.L2(1.0), x, Untargeted(0))
