"""Weights for tests: NumPy draws them at once, where `init` has to compile."""

import jax
import jax.numpy as jnp
import numpy as np

SMALL = {  # What the larger nets of the catalogue are given, to be compiled soon.
    "preact_resnet18": {"width": 4},
    "resnet": {"depth": 18, "width": 4},
    "resnet18": {"width": 4},
    "vit": {"depth": 2, "width": 24},
    "wide_resnet": {"depth": 10, "width": 1},
}


def random_weights(module, shape, seed=0):
    """Weights of the shapes that `init` would give, scaled by fan-in; biases too."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        return jnp.asarray(rng.normal(scale=scale, size=leaf.shape), leaf.dtype)

    key, x = jax.random.key(0), jnp.zeros(shape)
    return jax.tree.map(draw, jax.eval_shape(module.init, key, x))
