"""ODI's first steps by hand, and its whole path beside an oracle in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.attacks.ascent import odi
from robust_jax.attacks.gradients.estimator import Estimate, Gradient
from robust_jax.core.types import Untargeted
from tests import victims
from tests.reference import pgd as reference, projections

LOGITS = np.array([2.0, 0.5, -1.0, 0.0], np.float32)
LABEL = Untargeted(np.int32(0))


def climbed_along_each_logit(seed, i):
    """What iterate i climbs at the unit vectors of logits, shape [4]."""

    def estimate(query, memory):
        values = jax.vmap(query.climb)(jnp.eye(4))
        return Estimate(values[0], jnp.asarray(LOGITS), jnp.zeros_like(query.x)), values

    attack = odi.odi_pgd(gradient=Gradient(lambda x: jnp.zeros(4), estimate, 1, 1))
    threat = threats.Linf(0.1)
    state = attack.init(
        jax.random.key(seed), threat, jnp.full(4, 0.5), LABEL, jnp.zeros(2)
    )
    return attack.step(None, threat, state._replace(i=i)).memory


def test_a_direction_per_key_for_two_steps_then_the_margin():
    many = jax.vmap(jax.vmap(climbed_along_each_logit, (None, 0)), (0, None))
    found = jax.jit(many)(jnp.arange(200), jnp.arange(4))
    first, second, third, fourth = np.swapaxes(found, 0, 1)
    np.testing.assert_array_equal(first, second)
    margins = [-1, 1, 1, 1]  # Of label 0 at the unit vectors.
    np.testing.assert_array_equal(third, np.tile(margins, (200, 1)))
    np.testing.assert_array_equal(fourth, third)
    assert len(np.unique(first)) == first.size  # Keys and classes differ.
    assert np.abs(first).max() < 1
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=0.15)  # 3.7 deviations.
    np.testing.assert_allclose(first.var(axis=0), 1 / 3, atol=0.1)


def test_two_full_steps_on_an_affine_model_end_at_a_corner():
    model, image = victims.affine_victim((6,), 4), jnp.full(6, 0.5)
    attack, threat, seeds = odi.odi_pgd(), threats.Linf(0.1), jnp.arange(5)

    @jax.jit
    def corners(model, seeds):
        def one(seed):
            state = attack.init(
                jax.random.key(seed), threat, image, LABEL, jnp.zeros(2)
            )
            for _ in range(2):
                state = attack.step(model, threat, state)
            third = attack.step(model, threat, state)
            weights = climbed_along_each_logit(seed, 0)
            return weights, state.iterate, third.iterate

        return jax.vmap(one)(seeds)

    weights, found, third = corners(model, seeds)
    expected = 0.5 + 0.1 * np.sign(weights @ model.args[0])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(np.round(found, 3), axis=0)) > 2
    moved = np.abs(third - found)  # PGD's step is a quarter, unless it stays put.
    assert np.isin(np.round(moved, 5), np.float32([0, 0.025])).all() and moved.any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_path_is_that_of_the_oracle(norm):
    model, steps, eps = victims.two_layer_victim((8,), 4, seed=1, scale=2.0), 10, 0.2
    image = victims.inputs((8,), 1, seed=4, high=0.5)[0]
    label = int(victims.predicted(model, image[None])[0])
    attack, threat = odi.odi_pgd(steps), threats.by_name(norm)(eps)

    @jax.jit
    def ours(model, image, label):
        state = attack.init(
            jax.random.key(3), threat, image, Untargeted(label), jnp.zeros(2)
        )

        def step(state, _):
            after = attack.step(model, threat, state)
            return after, after.iterate

        weights = climbed_along_each_logit(3, 0)
        return weights, state.iterate, *jax.lax.scan(step, state, length=steps + 2)

    weights, start, last, found = ours(model, image, label)
    unit = {"linf": np.sign, "l2": lambda grad: grad / np.linalg.norm(grad)}[norm]
    project = {
        "linf": lambda x, x0: np.clip(np.clip(x, x0 - eps, x0 + eps), 0, 1),
        "l2": lambda x, x0: projections.by_bisection("l2", x, x0, eps, 0.0, 1.0),
    }[norm]
    (first, second), x0, x, weights = jax.tree.map(
        lambda a: np.asarray(a, np.float64), (model.args[0], image, start, weights)
    )
    expected = []
    for i in range(steps + 2):
        z = reference.logits((first, second), x)
        other = np.argmax(np.where(np.arange(4) == label, -np.inf, z))
        slope = weights if i < 2 else np.eye(4)[other] - np.eye(4)[label]
        grad = first.T @ ((second.T @ slope) * (1 - np.tanh(first @ x) ** 2))
        x = project(x + (1.0 if i < 2 else 0.25) * eps * unit(grad), x0)
        expected.append(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (last.forwards, last.backwards) == (steps + 2, steps + 2)
    assert attack.steps == steps + 3


@pytest.mark.parametrize(
    "argument",
    ["steps", "relative_step", "diversification_steps", "diversification_step"],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(argument):
    with pytest.raises(ValueError, match=f"^{argument}=0; expected"):
        odi.odi_pgd(**{argument: 0})
