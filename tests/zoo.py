"""Honest nets on scikit-learn's digits, and the fake defences around some of them.

The weights were trained by `python -m tests.zoo_nets` and lie in tests/data.
"""

import functools
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.tree_util import Partial

from robust_jax import datasets, models
from robust_jax.models import fake_catalog

WEIGHTS = pathlib.Path(__file__).parent / "data" / "zoo_nets.npz"


class MaxPoolCNN(models.Classifier):
    """Two 3x3 convolutions, each followed by max pooling."""

    @nn.compact
    def __call__(self, x, train=False):
        x = self.normalise(x)
        for features in (16, 32):
            x = models.max_pool(nn.relu(models.Conv(features, (3, 3))(x)))
        return nn.Dense(self.num_classes)(x.reshape(*x.shape[:-3], -1))


class SiluCNN(models.Classifier):
    """Two 3x3 convolutions with a smooth activation."""

    @nn.compact
    def __call__(self, x, train=False):
        x = self.normalise(x)
        for _ in range(2):
            x = nn.silu(models.Conv(16, (3, 3), strides=2)(x))
        return nn.Dense(self.num_classes)(x.reshape(*x.shape[:-3], -1))


_MLP = models.MLP(hidden=(256,))
_CNN = models.FastCNN()
MODULES = {
    "mlp": _MLP,
    "mlp_decayed": _MLP,
    "mlp_noise": _MLP,
    "mlp_k_winners": _MLP,
    "cnn": _CNN,
    "cnn_pgd": _CNN,
    "cnn_noise": _CNN,
    "cnn_k_winners": _CNN,
    "max_pool": MaxPoolCNN(),
    "silu": SiluCNN(),
}
# The others are honest only behind the k-winners activation they were trained with.
HONEST = tuple(name for name in MODULES if not name.endswith("k_winners"))
BASES = ("mlp", "cnn")


@functools.cache
def net(name: str) -> Partial:
    """A trained net of `MODULES`, [*S] -> [K]; weights are arguments."""
    return models.logits_fn(MODULES[name], _weights()[name])


def base(fake: fake_catalog.Fake, family: str) -> Partial:
    """The net of a family of `BASES` that was trained for what the fake does."""
    return net(family if fake.training == "any" else f"{family}_{fake.training}")


@functools.cache
def fake_net(name: str, family: str, strength: str, n: int = 64) -> Partial:
    """A fake defence around its base; `n` as the images that are evaluated."""
    fake, (images, labels) = fake_catalog.by_name(name), test_digits(n)
    return fake.make(base(fake, family), strength, images=images, labels=labels)


@functools.cache
def test_digits(n: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """The first n test images [n, 8, 8, 1] and labels [n]."""
    data = datasets.load("digits", "test")
    return data.pixels()[:n], data.labels[:n]


@functools.cache
def _weights() -> dict:
    """The weights of every net, float32 with the precision of 16 bits."""
    with np.load(WEIGHTS) as arrays:
        flat = {name: jnp.asarray(arrays[name], jnp.float32) for name in arrays.files}
    return traverse_util.unflatten_dict(flat, sep="/")


def names(variables) -> dict[str, np.ndarray]:
    """Weights as they are stored: one name per array, half precision."""
    flat = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    return {name: np.asarray(array, np.float16) for name, array in flat.items()}
