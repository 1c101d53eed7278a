"""For `zoo`: small nets of several kinds, trained on the digits."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from robust_jax import datasets
from robust_jax.core.types import Array

_STEPS, _RATE, _UNITS = 400, 3e-3, 64
_SIGMA = 0.25  # Of the noise that nets for noisy defences are trained behind.


class Net(NamedTuple):
    """A net and the examples that it is judged on."""

    name: str
    model: Any  # [*S] -> [K]
    images: np.ndarray
    labels: np.ndarray
    eps: float
    certified: np.ndarray | None = None


class Digits:
    """The digits, and nets trained on them.

    Args:
        count: test images that are judged.
        eps: radius in Linf.
    """

    def __init__(self, count: int, eps: float) -> None:
        train, test = (datasets.load("digits", part) for part in ("train", "test"))
        self._x, self._y = train.pixels(), np.asarray(train.labels)
        self.images, self.labels = test.pixels()[:count], test.labels[:count]
        self.eps = eps
        self.net = functools.cache(self._net)

    def _net(self, kind: str, of_classes: int = 10, behind: str = "") -> Partial:
        """A trained net: linear, relu, tanh or maxout; `behind` noise or attacks."""
        x, y = self._x, self._y % of_classes
        size, depth = x[0].size, {"linear": 0, "tanh": 4}.get(kind, 1)
        widths = (size, *[_UNITS] * depth, of_classes)
        weights = _initial(widths, 3 if kind == "maxout" else 1)
        forward = FORWARD[kind]
        data = jnp.asarray(x), jnp.asarray(y)
        weights = _trained(forward, weights, *data, behind, self.eps)
        return Partial(forward, weights)

    def judged(self, name: str, model: Any, of_classes: int = 10, **more: Any) -> Net:
        """The net with the test images."""
        labels = (self.labels % of_classes).astype(np.int32)
        return Net(name, model, self.images, labels, self.eps, **more)


def _initial(widths: tuple[int, ...], pieces: int) -> list[tuple[Array, Array]]:
    """Weights of dense layers; a unit is the largest of so many pieces."""
    rng, weights = np.random.default_rng(0), []
    for k, (a, b) in enumerate(itertools.pairwise(widths)):
        units = b if k == len(widths) - 2 else pieces * b
        matrix = rng.normal(size=(a, units)) / a**0.5
        weights.append((jnp.asarray(matrix, jnp.float32), jnp.zeros(units)))
    return weights


def _trained(
    forward: Callable[..., Array],
    weights: Any,
    x: Array,
    y: Array,
    behind: str,
    eps: float,
) -> Any:
    """Full batches of Adam on cross entropy, with noise or one-step attacks."""
    optimiser = optax.adam(_RATE)

    def loss(weights, images):
        logits = jax.vmap(lambda image: forward(weights, image))(images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def moved(weights, key):
        if behind == "noise":
            return x + _SIGMA * jax.random.normal(key, x.shape)
        if behind == "attacks":
            start = x + jax.random.uniform(key, x.shape, x.dtype, -eps, eps)
            ascent = jnp.sign(jax.grad(loss, argnums=1)(weights, start))
            return jnp.clip(
                jnp.clip(start + 1.25 * eps * ascent, x - eps, x + eps), 0, 1
            )
        return x

    def step(state, key):
        weights, memory = state
        grads = jax.grad(loss)(weights, moved(weights, key))
        updates, memory = optimiser.update(grads, memory)
        return (optax.apply_updates(weights, updates), memory), None

    keys = jax.random.split(jax.random.key(0), _STEPS)
    start = weights, optimiser.init(weights)
    return jax.jit(lambda: jax.lax.scan(step, start, keys)[0][0])()


def _forward(activation: Callable[[Array], Array], weights: Any, x: Array) -> Array:
    values = x.ravel()
    for matrix, bias in weights[:-1]:
        values = activation(values @ matrix + bias)
    matrix, bias = weights[-1]
    return values @ matrix + bias


def _maxout(values: Array) -> Array:
    return values.reshape(-1, 3).max(axis=1)


FORWARD = {
    "linear": functools.partial(_forward, jax.nn.relu),
    "relu": functools.partial(_forward, jax.nn.relu),
    "tanh": functools.partial(_forward, jnp.tanh),
    "maxout": functools.partial(_forward, _maxout),
}
