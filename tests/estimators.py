"""Asks an estimator of the gradient, with all that the model sees noted."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Query
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.reference import pgd as reference

D, EPS, LABEL = 8, 0.2, 2
THREAT = threats.Linf(EPS)
NET = victims.two_layer_victim((D,), 4, seed=1, scale=3.0)
WEIGHTS = jax.tree.map(lambda w: np.asarray(w, np.float64), NET.args[0])
POINTS = victims.inputs((D,), 3, seed=2)


def climb(logits):
    return objectives.cross_entropy(logits, Untargeted(LABEL))


def oracle_climb(x):
    z = reference.logits(WEIGHTS, x)
    return np.log(np.exp(z).sum()) - z[LABEL]


def oracle_gradient(x):
    return reference.cross_entropy_gradient(WEIGHTS, np.asarray(x, np.float64), LABEL)


def spied(model, seen):
    """The model; every input, and every gradient of an input, is noted in `seen`."""

    @jax.custom_vjp
    def noted(x):
        jax.debug.callback(lambda at: seen["at"].append(np.asarray(at)), x)
        return x

    def back(_, grad):
        jax.debug.callback(lambda g: seen["grads"].append(np.asarray(g)), grad)
        return (grad,)

    noted.defvjp(lambda x: (noted(x), None), back)
    return lambda x: model(noted(x))


def estimate_at(gradient, points, model=NET, threat=THREAT, climb=climb):
    """Asks at the points in turn: the answers [T], and what the model saw in each."""
    seen, answers, visited = {"at": [], "grads": []}, [], []

    @jax.jit
    def estimate(key, x, memory):
        query = Query(key, spied(model, seen), threat, climb, x)
        return gradient.estimate(query, memory)

    memory = gradient.init(jnp.asarray(points[0]))
    for t, x in enumerate(points):
        found, memory = estimate(jax.random.key(t), x, memory)
        jax.block_until_ready(memory)
        jax.effects_barrier()
        assert len(seen["at"]) == gradient.forwards
        assert len(seen["grads"]) == gradient.backwards
        answers.append((found, memory))
        visited.append({name: np.array(each) for name, each in seen.items()})
        for each in seen.values():
            each.clear()
    return jax.tree.map(lambda *each: np.stack(each), *answers), visited


def assert_judged_at(points, estimate):
    """Value and logits are those of the points themselves."""
    logits = np.array([reference.logits(WEIGHTS, x) for x in points])
    np.testing.assert_allclose(estimate.logits, logits, atol=1e-5)
    values = [oracle_climb(x) for x in points]
    np.testing.assert_allclose(estimate.value, values, atol=1e-5)
