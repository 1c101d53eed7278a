"""Each rule against a few lines of NumPy, at gradients of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import optim, threats

EPS, RELATIVE_STEP, DECAY, B1, B2 = 0.3, 0.2, 0.7, 0.6, 0.9
STEPS, SIZE = 5, 7
RULES = {
    "steepest": optim.steepest(RELATIVE_STEP),
    "momentum": optim.momentum(RELATIVE_STEP, DECAY),
    "nesterov": optim.nesterov(RELATIVE_STEP, DECAY),
    "adam": optim.adam(RELATIVE_STEP, B1, B2),
}
each_case = pytest.mark.parametrize(
    ("name", "norm"), [(name, norm) for name in RULES for norm in ("linf", "l2")]
)


@functools.cache
def _program(name, norm):
    threat = threats.by_name(norm)(EPS)
    x = jnp.full(SIZE, 0.5)

    def moves(climbs):
        rule = RULES[name](threat)

        def step(state, climb):
            update, state = rule.update(-climb, state, x)
            return state, update

        return jax.lax.scan(step, rule.init(x), climbs)[1]

    return jax.jit(moves)


def moves(name, norm, climbs):
    """What the rule adds to the iterate, [STEPS, SIZE], for gradients to climb."""
    return np.asarray(_program(name, norm)(jnp.asarray(climbs, jnp.float32)))


def gradients(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, SIZE))


def _steepest(norm, direction):
    if norm == "linf":
        return EPS * np.sign(direction)
    return EPS * direction / np.linalg.norm(direction)


def _oracle(name, norm, climbs):
    """The moves in float64, by the papers' formulas."""
    past = mean = square = np.zeros(SIZE)
    found = []
    for t, grad in enumerate(climbs, start=1):
        normalised = grad / np.abs(grad).sum()
        past = DECAY * past + normalised
        mean = B1 * mean + (1 - B1) * grad
        square = B2 * square + (1 - B2) * grad**2
        direction = {
            "steepest": grad,
            "momentum": past,
            "nesterov": normalised + DECAY * past,
            "adam": mean / (1 - B1**t) / np.sqrt(square / (1 - B2**t)),
        }[name]
        move = _steepest(norm, direction)
        if name == "adam":  # Its own direction, at the length of the steepest move.
            move = direction / np.linalg.norm(direction) * np.linalg.norm(move)
        found.append(RELATIVE_STEP * move)
    return np.array(found)


@each_case
def test_moves_are_those_of_the_formulas(name, norm):
    climbs = gradients()
    np.testing.assert_allclose(
        moves(name, norm, climbs), _oracle(name, norm, climbs), rtol=1e-5, atol=1e-7
    )


@each_case
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_the_size_of_the_gradients_does_not_matter(name, norm, scale):
    climbs = gradients(1)
    np.testing.assert_allclose(
        moves(name, norm, scale * climbs),
        moves(name, norm, climbs),
        rtol=1e-4,
        atol=1e-6,
    )


@each_case
def test_gradients_that_grow_out_of_saturation_are_followed(name, norm):
    """A net that is sure has gradients of 1e-30 first; later ones decide by then."""
    climbs = gradients(2)
    climbs[0] *= 1e-30
    found = moves(name, norm, climbs)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, _oracle(name, norm, climbs), rtol=1e-4, atol=1e-6)


@each_case
def test_zero_gradients_move_nothing_before_and_little_after(name, norm):
    climbs = gradients(3)
    climbs[:2] = 0
    found = moves(name, norm, climbs)
    assert (found[:2] == 0).all()
    lengths = np.abs(found).max(1) if norm == "linf" else np.linalg.norm(found, axis=1)
    assert (lengths[2:] > 0.9 * RELATIVE_STEP * EPS).all()


@pytest.mark.parametrize("make", [getattr(optim, name) for name in RULES])
@pytest.mark.parametrize("bad", [0, -0.1, float("nan"), float("inf"), "0.1", None])
def test_step_sizes_that_are_refused(make, bad):
    with pytest.raises(ValueError, match=r"relative_step=.*; expected a finite number"):
        make(bad)
