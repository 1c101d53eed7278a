"""The honest nets of `zoo`: of many kinds, and files of your own."""

import importlib.util
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.selfchecks.zoo_training import FORWARD, Digits, Net
from robust_jax.core.types import Array
from robust_jax.models import fakes


def honest(digits: Digits) -> Iterator[Net]:
    """25 nets that hide nothing."""
    linear, plain = digits.net("linear"), digits.net("relu")
    (weights, bias), = linear.args[0]  # fmt: skip
    yield digits.judged("linear", linear, certified=_certified(digits, weights, bias))
    for own in (0.3, 0.05):
        common = 4 * jnp.abs(weights).mean() * jnp.sign(weights[:, :1])
        rows = [(own * weights + common, own * bias)]
        yield digits.judged(f"common-part linear with {own} own", _linear_of(rows))
    for times in (0.1, 10.0):
        of_one = jnp.ones(10).at[3].set(times)
        shifted = (
            bias - 2 * (times < 1)
        ) * of_one  # Class 3 leads no more than others.
        rows = [(weights * of_one, shifted)]
        yield digits.judged(f"linear with one class times {times:g}", _linear_of(rows))
    yield digits.judged("relu", plain)
    yield digits.judged("relu behind noise", digits.net("relu", behind="noise"))
    yield digits.judged("relu adversarial", digits.net("relu", behind="attacks"))
    yield digits.judged("deep tanh", digits.net("tanh"))
    yield digits.judged("deep tanh behind noise", digits.net("tanh", behind="noise"))
    yield digits.judged("deep tanh adversarial", digits.net("tanh", behind="attacks"))
    yield digits.judged("maxout", digits.net("maxout"))
    yield digits.judged("maxout adversarial", digits.net("maxout", behind="attacks"))
    for factor in (0.01, 0.1, 10.0, 100.0):
        yield digits.judged(f"temperature {factor:g}", fakes.temperature(plain, factor))
    members = [digits.net(kind) for kind in ("relu", "tanh", "maxout")]
    yield digits.judged("ensemble of logits", Partial(_mean_logits, tuple(members)))
    yield digits.judged("ensemble of shares", Partial(_mean_shares, tuple(members)))
    for of_classes in (2, 3):
        for kind in ("linear", "relu"):
            net = digits.net(kind, of_classes)
            yield digits.judged(f"{kind} of {of_classes} classes", net, of_classes)
    for of_classes in (100, 1000):
        wide = Partial(_more_classes, *_others(of_classes - 10), plain)
        yield digits.judged(f"relu of {of_classes} classes", wide)


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


def _linear_of(rows: Any) -> Partial:
    return Partial(FORWARD["linear"], rows)


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
