"""GAMA's objective and schedules by hand, and its path beside an oracle in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.attacks.ascent import gama
from robust_jax.attacks.gradients.estimator import Estimate, Gradient
from robust_jax.core import stepping
from robust_jax.core.types import Reach, Towards, Untargeted
from tests import victims
from tests.reference import pgd as reference, projections

KEY = jax.random.key(3)
CLEAN = np.array([2.0, 0.5, -1.0], np.float32)
PROBE = np.array([0.3, 1.0, 1.2], np.float32)


def softmax(z):
    e = np.exp(np.asarray(z, np.float64) - np.max(z))
    return e / e.sum()


def climbed(steps, iterates, goal):
    """The objective's values at the logits PROBE, at some iterates."""

    def estimate(query, memory):
        value = query.climb(jnp.asarray(PROBE))
        return Estimate(value, jnp.asarray(CLEAN), jnp.zeros_like(query.x)), value

    attack = gama.gama_pgd(steps, gradient=Gradient(lambda x: 0.0, estimate, 1, 1))

    def at(i):
        state = attack.init(
            KEY, threats.Linf(0.1), jnp.full(4, 0.5), goal, jnp.asarray(CLEAN)
        )
        state = state._replace(i=i)
        return attack.step(None, threats.Linf(0.1), state).memory

    return jax.jit(jax.vmap(at))(jnp.asarray(iterates))


@pytest.mark.parametrize(
    ("steps", "weights"), [(100, {0: 50, 24: 2, 25: 0, 26: 0}), (20, {1: 40, 5: 0})]
)
def test_the_guide_fades_over_a_quarter_of_the_steps(steps, weights):
    p, clean = softmax(PROBE), softmax(CLEAN)
    guides = np.array(list(weights.values())) * ((p - clean) ** 2).sum()
    found = climbed(steps, list(weights), Untargeted(0))
    np.testing.assert_allclose(found, p[2] - p[0] + guides, rtol=1e-5)


def test_goals_with_a_target_climb_its_probability():
    p = softmax(PROBE)
    towards = climbed(100, [50], Towards(0, 1))
    np.testing.assert_allclose(towards, p[1] - p[0], rtol=1e-5)
    np.testing.assert_allclose(climbed(100, [50], Reach(1)), p[1] - p[2], rtol=1e-5)


def test_steps_of_two_eps_drop_to_tenths_at_60_and_85():
    def estimate(query, count):  # Up, down, up, ...
        grad = jnp.full_like(query.x, 1.0) * (1 - 2 * (count % 2))
        return Estimate(jnp.zeros(()), jnp.asarray(CLEAN), grad), count + 1

    attack = gama.gama_pgd(gradient=Gradient(lambda x: jnp.asarray(0), estimate, 1, 1))
    threat = threats.Linf(0.1)

    def step(state, _):
        state = attack.step(None, threat, state)
        return state, state.iterate

    @jax.jit
    def visit():
        state = attack.init(
            KEY, threat, jnp.full(4, 0.5), Untargeted(0), jnp.asarray(CLEAN)
        )
        return jax.lax.scan(step, state, length=100)[1]

    visited = visit()
    moves = np.abs(np.diff(visited, axis=0))  # moves[k] is move k + 1.
    expected = np.repeat([0.2, 0.02, 0.002], [59, 25, 15])
    np.testing.assert_allclose(moves, np.tile(expected[:, None], 4), atol=1e-6)


def test_linf_starts_at_corners_and_l2_inside():
    image = jnp.full(12, 0.5)
    attack = gama.gama_pgd()

    @jax.jit
    def starts(seed):
        key, goal = jax.random.key(seed), Untargeted(0)
        corner = attack.init(key, threats.Linf(0.1), image, goal, jnp.zeros(2)).iterate
        return corner - image, attack.init(
            key, threats.L2(0.3), image, goal, jnp.zeros(2)
        ).iterate

    (first, _), (second, inside) = (starts(seed) for seed in (0, 1))
    np.testing.assert_allclose(np.abs(first), 0.1, rtol=1e-5)
    assert 0 < (first != second).mean() < 1
    assert 0 < np.linalg.norm(inside - image) <= 0.3 + 1e-6
    assert np.ptp(np.abs(inside - image)) > 1e-3


def test_gradients_survive_where_softmax_rounds_to_one():
    """A lead of 30 nats: only the label's logit moves along the last coordinate."""
    weights = np.array([[0.0, 0.0, 0.3], [1.0, 0.2, 0.0], [-0.4, 1.0, 0.0]])
    bias, x = np.array([31.0, 0.0, 0.0]), np.full(3, 0.5)
    p = softmax(weights @ x + bias)
    assert np.float32(p[0]) == 1
    # d(p_1 - p_0)/dz_k, with 1 - p_0 summed from small numbers.
    slope = np.array([-p[0] * (2 * p[1] + p[2]), p[1] * (1 - p[1] + p[0]), 0])
    slope[2] = p[2] * (p[0] - p[1])
    expected = weights.T @ slope

    attack, threat = gama.gama_pgd(), threats.L2(0.1)
    model = jax.tree_util.Partial(
        victims.affine, *(jnp.asarray(a, jnp.float32) for a in (weights, bias))
    )
    image = jnp.asarray(x, jnp.float32)
    state = attack.init(KEY, threat, image, Untargeted(0), model(image))
    state = state._replace(iterate=image, i=jnp.asarray(25))
    after = jax.jit(attack.step)(model, threat, state)
    moved = np.asarray(after.iterate - image)
    expected *= 0.1 / np.linalg.norm(expected)
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-6)


def oracle(weights, x0, start, label, step_size, steps, direction, project):
    """All iterates after the start, from the paper's equations, in float64."""
    first, second = weights
    clean, x, found = softmax(reference.logits(weights, x0)), start, []
    for i in range(steps):
        hidden = np.tanh(first @ x)
        p = softmax(second @ hidden)
        other = np.argmax(np.where(np.arange(len(p)) == label, -1, p))
        slope = 100 * max(0.0, 1 - i / (steps / 4)) * (p - clean)
        slope[other] += 1
        slope[label] -= 1
        slope = p * (slope - p @ slope)
        grad = first.T @ ((second.T @ slope) * (1 - hidden**2))
        drop = 0.1 ** ((i >= 0.6 * steps) + (i >= 0.85 * steps))
        x = project(x + 2 * step_size * drop * direction(grad), x0)
        found.append(x)
    return np.array(found)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_path_is_that_of_the_oracle(norm):
    model, steps, eps = victims.two_layer_victim((8,), 4, seed=1, scale=2.0), 20, 0.2
    image = victims.inputs((8,), 1, seed=4, high=0.5)[0]
    label = int(victims.predicted(model, image[None])[0])
    attack, threat = gama.gama_pgd(steps), threats.by_name(norm)(eps)

    @jax.jit
    def ours(model, image, label):
        state = stepping.begin(attack, KEY, model, threat, image, Untargeted(label))

        def step(state, _):
            after = attack.step(model, threat, state)
            return after, after.iterate

        return state.iterate, *jax.lax.scan(step, state, length=steps)

    start, last, found = ours(model, image, label)
    unit = {"linf": np.sign, "l2": lambda grad: grad / np.linalg.norm(grad)}[norm]
    project = {
        "linf": lambda x, x0: np.clip(np.clip(x, x0 - eps, x0 + eps), 0, 1),
        "l2": lambda x, x0: projections.by_bisection("l2", x, x0, eps, 0.0, 1.0),
    }[norm]
    weights, x0, start = jax.tree.map(
        lambda a: np.asarray(a, np.float64), (model.args[0], image, start)
    )
    expected = oracle(weights, x0, start, label, eps, steps, unit, project)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(np.unique(np.round(expected, 3), axis=0)) > 4  # It does move about.
    assert (last.forwards, last.backwards) == (steps + 1, steps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"weight": -1.0}, "weight=-1.0; expected a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(arguments, words):
    with pytest.raises(ValueError, match=words):
        gama.gama_pgd(**arguments)
