"""When the step of APGD is halved: values as a script has them, beside Alg. 1 in NumPy.

Directions are scripted too, so that the iterates alone show each step's size and where
it began; the net is never asked.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.gradients.estimator import Estimate, Gradient
from robust_jax.attacks.skeletons.projected import at_the_input
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests.reference import apgd as reference

D, STEPS, EPS = 6, 40, 0.1  # Windows end at 8, 15, 21, 26, 30, 33, 35, 37 and 39.
X = np.full(D, 0.5)


def scripted():
    """Looks whose value and direction are the rows that the model holds."""

    def estimate(query, i):
        value, grad = query.logits_fn(i)
        return Estimate(value, jnp.array([1.0, 0.0]), grad), i + 1

    return Gradient(lambda x: jnp.int32(0), estimate, 1, 1)


def read(script, i):
    values, grads = script
    return values[i], grads[i]


@functools.cache
def walk(steps, radii):
    """A script's rows to the iterates of APGD from x, which is in their midst."""
    options = {"start": at_the_input, "gradient": scripted(), "radii": radii}
    attack = attacks.apgd(objectives.margin, steps, **options)

    @jax.jit
    def run(values, grads):
        model = jax.tree_util.Partial(read, (values, grads))
        threat = threats.Linf(EPS)
        state = attack.init(
            jax.random.key(0), threat, jnp.asarray(X), Untargeted(0), jnp.zeros(2)
        )
        move = lambda s, _: (attack.step(model, threat, s), s.iterate)  # noqa: E731
        return jax.lax.scan(move, state, length=attack.steps)[1]

    return run


def iterates(values, grads, radii=(1.0,)):
    run = walk(len(values) - len(radii), radii)
    return np.asarray(run(jnp.float32(values), jnp.float32(grads)))


def expected(values, grads, start=X, eps=EPS):
    """Iterates and steps of Alg. 1; a point's value is whatever comes next."""
    rows = iter(zip(values, grads, strict=True))
    project = lambda x, x0, eps: np.clip(x, x0 - eps, x0 + eps)  # noqa: E731
    arguments = (lambda x: next(rows), X, start, eps, len(values) - 1, np.sign)
    return reference.iterates(*arguments, project)[:2]


def directions(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, D))


def rises(*changes):
    """Values from zero on, one for each change and one for the start."""
    return np.cumsum([0.0, *changes])


# A drop below the peak at a window's first step, then rises that do not reach it.
CLIMBS, HIGHER = [1.0] * 8, 1000.0
BELOW = [[-100.0] + [1.0] * (n - 1) for n in (7, 6, 5)]


@pytest.mark.parametrize(
    ("values", "halved"),
    [
        # Condition 1: of 8 steps more than 6 climb, or they do not.
        (rises(*[1.0] * 7, -0.5, *[HIGHER] * 32), []),
        (rises(*[1.0] * 6, -0.5, -0.5, *[HIGHER] * 32), [8]),
        # Condition 2: enough steps climb, but the peak is that of the last checkpoint,
        # which left the step alone; after a halving the next checkpoint does not ask.
        (rises(*CLIMBS, *BELOW[0], *[HIGHER] * 25), [15]),
        (rises(*CLIMBS, *itertools.chain(*BELOW), *[HIGHER] * 14), [15, 26]),
        # At the first checkpoint there is no last one: the start may be the peak.
        (rises(-100.0, *[1.0] * 7, *[HIGHER] * 32), []),
    ],
)
def test_the_step_is_halved_as_the_two_conditions_say(values, halved):
    grads = directions(STEPS + 1)
    path, sizes = expected(values, grads)
    assert [*np.flatnonzero(np.diff(sizes)) + 1] == halved
    np.testing.assert_allclose(iterates(values, grads), path, atol=1e-6)


def test_random_scripts_are_followed_as_alg_1_has_it():
    halvings = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rises(*(rng.normal(size=STEPS) + rng.choice([0.5, 1.0, 1.5])))
        grads = directions(STEPS + 1, seed)
        path, sizes = expected(values, grads)
        np.testing.assert_allclose(iterates(values, grads), path, atol=1e-6)
        halvings += np.count_nonzero(np.diff(sizes))
    assert halvings > 20


def test_a_stage_forgets_the_values_of_the_larger_ball():
    """It begins at the larger ball's highest point, but goes back to its own."""
    radii, lengths = (2.0, 1.0), (18, 22)
    count = lengths[0] + 1
    first = 50 + rises(*np.random.default_rng(0).normal(size=lengths[0]))
    second = rises(*[1.0] * 3, *[-1.0] * 19)  # Lower than all of the first.
    grads = directions(STEPS + 2)
    larger, _ = expected(first, grads[:count], eps=2 * EPS)
    start = np.clip(larger[np.argmax(first)], X - EPS, X + EPS)
    own, sizes = expected(second, grads[count:], start)
    assert np.count_nonzero(np.diff(sizes)) >= 3
    found = iterates(np.concatenate([first, second]), grads, radii)
    np.testing.assert_allclose(found[:count], larger, atol=1e-6)
    np.testing.assert_allclose(found[count:], own, atol=1e-6)
