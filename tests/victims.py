"""Small models whose optimum is known, and inputs for them. One example each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial


def affine(weights, bias, x):
    """Logits [K] = weights [K, D] @ x + bias: every attack's optimum is known."""
    return weights @ x.ravel() + bias


def affine_victim(shape, num_classes, seed=0):
    """An affine model as a Partial, so that weights are arguments."""
    size = int(np.prod(shape))
    rng = np.random.default_rng(seed)
    weights = jnp.asarray(rng.normal(size=(num_classes, size)), jnp.float32)
    return Partial(affine, weights, jnp.zeros(num_classes))


def wavy(x, level=5.0):
    """Two classes; ascent overshoots, so only remembering the best point survives.

    The lower the level, the more of the space is adversarial for label 1.
    """
    return jnp.stack([0.0, level + jnp.sum(jnp.cos(40.0 * x))])


def two_layers(weights, x):
    """A tanh net of one hidden layer, logits [K]."""
    first, second = weights
    return second @ jnp.tanh(first @ x.ravel())


@functools.partial(
    jax.jit,
    static_argnums=1,
    compiler_options={"xla_backend_optimization_level": 3},
)
def _normal(key, shape):
    """The same bits whatever the level that other programs are compiled at."""
    return jax.random.normal(key, shape)


def two_layer_victim(shape, num_classes, seed=0, scale=1.0):
    """A random two-layer net as a Partial."""
    size = int(np.prod(shape))
    first, second = jax.random.split(jax.random.key(seed))
    weights = (
        scale * _normal(first, (16, size)) / size**0.5,
        _normal(second, (num_classes, 16)),
    )
    return Partial(two_layers, weights)


def inputs(shape, n, seed=0, low=0.0, high=1.0):
    """Random images, shape [n, *shape], in [low, high]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, size=(n, *shape)).astype(np.float32)


def predicted(model, images):
    """The model's own classes: labels on which every example starts out right."""
    return np.asarray(jnp.argmax(jax.vmap(model)(images), axis=-1), np.int32)
