"""The nets of `experiments.zoo`: honest ones of many kinds, trained on the digits here.

All have no more than two layers of 64 units, so that each is trained in seconds.
"""

import functools
import importlib.util
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from robust_jax import datasets
from robust_jax.core.types import Array
from robust_jax.models import fakes

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
        forward = _FORWARD[kind]
        data = jnp.asarray(x), jnp.asarray(y)
        weights = _trained(forward, weights, *data, behind, self.eps)
        return Partial(forward, weights)

    def judged(self, name: str, model: Any, of_classes: int = 10, **more: Any) -> Net:
        """The net with the test images."""
        labels = (self.labels % of_classes).astype(np.int32)
        return Net(name, model, self.images, labels, self.eps, **more)


def honest(digits: Digits) -> Iterator[Net]:
    """25 nets that hide nothing."""
    linear, plain = digits.net("linear"), digits.net("relu")
    (weights, bias), = linear.args[0]  # fmt: skip
    yield digits.judged("linear", linear, certified=_certified(digits, weights, bias))
    for own in (0.3, 0.05):
        common = 4 * jnp.abs(weights).mean() * jnp.sign(weights[:, :1])
        rows = [(own * weights + common, own * bias)]
        yield digits.judged(f"linear, common part and {own} own", _linear_of(rows))
    for times in (0.1, 10.0):
        of_one = jnp.ones(10).at[3].set(times)
        shifted = (
            bias - 2 * (times < 1)
        ) * of_one  # Class 3 leads no more than others.
        rows = [(weights * of_one, shifted)]
        yield digits.judged(f"linear, one class times {times:g}", _linear_of(rows))
    yield digits.judged("relu", plain)
    yield digits.judged("relu, behind noise", digits.net("relu", behind="noise"))
    yield digits.judged("relu, adversarial", digits.net("relu", behind="attacks"))
    yield digits.judged("deep tanh", digits.net("tanh"))
    yield digits.judged("deep tanh, behind noise", digits.net("tanh", behind="noise"))
    yield digits.judged("deep tanh, adversarial", digits.net("tanh", behind="attacks"))
    yield digits.judged("maxout", digits.net("maxout"))
    yield digits.judged("maxout, adversarial", digits.net("maxout", behind="attacks"))
    for factor in (0.01, 0.1, 10.0, 100.0):
        yield digits.judged(f"temperature {factor:g}", fakes.temperature(plain, factor))
    members = [digits.net(kind) for kind in ("relu", "tanh", "maxout")]
    yield digits.judged("ensemble of logits", Partial(_mean_logits, tuple(members)))
    yield digits.judged("ensemble of shares", Partial(_mean_shares, tuple(members)))
    for of_classes in (2, 3):
        for kind in ("linear", "relu"):
            net = digits.net(kind, of_classes)
            yield digits.judged(f"{kind}, {of_classes} classes", net, of_classes)
    for of_classes in (100, 1000):
        wide = Partial(_more_classes, *_others(of_classes - 10), plain)
        yield digits.judged(f"relu, {of_classes} classes", wide)


def of_file(path: str, count: int) -> Iterator[Net]:
    """The nets of a Python file of your own, which defines `nets(count)`.

    Each is a tuple (name, model of one example, images, labels, eps in Linf).
    """
    spec = importlib.util.spec_from_file_location("nets_of_your_own", path)
    if spec is None or spec.loader is None or not pathlib.Path(path).is_file():
        raise ValueError(f"nets={path!r}; expected a Python file that defines nets")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, model, images, labels, eps in module.nets(count):
        yield Net(name, model, np.asarray(images), np.asarray(labels), eps)


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


_FORWARD = {
    "linear": functools.partial(_forward, jax.nn.relu),
    "relu": functools.partial(_forward, jax.nn.relu),
    "tanh": functools.partial(_forward, jnp.tanh),
    "maxout": functools.partial(_forward, _maxout),
}


def _linear_of(rows: Any) -> Partial:
    return Partial(_FORWARD["linear"], rows)


def _mean_logits(members: tuple[Partial, ...], x: Array) -> Array:
    return jnp.mean(jnp.stack([member(x) for member in members]), axis=0)


def _mean_shares(members: tuple[Partial, ...], x: Array) -> Array:
    shares = jnp.stack([jax.nn.log_softmax(member(x)) for member in members])
    return jax.nn.logsumexp(shares, axis=0)


def _others(count: int) -> tuple[Array, Array]:
    """Directions of classes that no image is of, and how far these stay behind."""
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.normal(size=(count, 64)) / 8, jnp.float32), jnp.asarray(6.0)


def _more_classes(rows: Array, behind: Array, base: Partial, x: Array) -> Array:
    return jnp.concatenate([base(x), rows @ x.ravel() - behind])


def _certified(digits: Digits, weights: Array, bias: Array) -> np.ndarray:
    """[N] bool: a linear net loses at most eps times the differences' L1 norms."""
    w = np.asarray(weights, np.float64)
    logits = digits.images.reshape(len(digits.images), -1) @ w + np.asarray(bias)
    rows = np.arange(len(logits))
    lead = logits[rows, digits.labels][:, None] - logits
    most = digits.eps * np.abs(w[:, digits.labels].T[:, :, None] - w[None]).sum(axis=1)
    is_own = np.arange(10) == digits.labels[:, None]
    return np.asarray(((lead > most * (1 + 1e-6)) | is_own).all(axis=1))
