"""A fixed tiny net and batch: for JAX in float32, for NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.train.state import Batch

B, SHAPE, K = 5, (2, 2, 1), 4
STEP = jnp.asarray(7, jnp.int32)


def apply_fn(variables, images, mode, key=None):
    w = variables["params"]
    hidden = jnp.tanh(images.reshape(*images.shape[:-3], -1) @ w["first"])
    return hidden @ w["second"] + w["bias"], variables


def rooted(variables, images, mode, key=None):
    """The net with a root, whose slope is infinite where `first_pixel_zero`."""
    logits, variables = apply_fn(variables, images, mode)
    root = jnp.sqrt(images[..., 0, 0, 0])[..., None]
    return logits + jnp.array([1.0, 0.0, 0.0, 0.0]) * root, variables


def first_pixel_zero(batch):
    return batch._replace(images=batch.images.at[:, 0, 0, 0].set(0.0))


def weights(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"first": (4, 3), "second": (3, K), "bias": (K,)}
    drawn = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    return {n: 1.5 * a.astype(np.float64) for n, a in drawn.items()}


def variables(w):
    return {"params": {n: jnp.asarray(a, jnp.float32) for n, a in w.items()}}


def images(seed=1, scale=1.0):
    rng = np.random.default_rng(seed)
    return (scale * rng.uniform(size=(B, *SHAPE))).astype(np.float32)


def batch():
    labels = jnp.arange(B, dtype=jnp.int32) % K
    return Batch(jnp.asarray(images()), labels, jnp.arange(B) + 100)


def value_and_gradient(objective, variables, batch, key=None):
    """Loss, aux and the gradient of the params, compiled."""
    key = jax.random.key(3) if key is None else key

    @jax.jit
    def run(params, batch, key):
        full = lambda p: objective({**variables, "params": p}, batch, key, STEP)  # noqa: E731
        return jax.value_and_grad(full, has_aux=True)(params)

    (loss, aux), grads = run(variables["params"], batch, key)
    return loss, aux, grads
