"""Evaluations of an affine net whose robust points are known exactly.

The net can hide its gradient, always or away from the images, by a number that is data,
so that the honest and the fake net share their compiled programs.
"""

import dataclasses
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.core.ids import example_ids
from robust_jax.evaluate.audit.subject import Bench, Subject
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.results import Verdicts
from tests import victims

HONEST, KILLED, KILLED_OFF_DATA, KILLED_FAR_OFF = 0, 1, 2, 3
SHAPE, CLASSES, N, TILE, EPS = (4, 4), 3, 60, 32, 0.1
_GRID = 64  # The images' values are multiples of 1 / 64, which random points are not.

_REACH = 0.3  # From grey; the images reach 0.204.


def hiding(weights, how, x):
    """Logits [K] of an affine net; `how` it hides its gradient with respect to x."""
    on_data = jnp.all(x * _GRID == jnp.round(x * _GRID))
    far_off = jnp.any(jnp.abs(x - 0.5) > _REACH)
    hidden = (how == KILLED) | ((how == KILLED_OFF_DATA) & ~on_data)
    hidden |= (how == KILLED_FAR_OFF) & far_off
    return weights @ jnp.where(hidden, jax.lax.stop_gradient(x), x).ravel()


def net(how=HONEST):
    """The affine net as a Partial."""
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=(CLASSES, 16)), jnp.float32)
    return Partial(hiding, weights, jnp.asarray(how))


@functools.cache
def data():
    """Images inside the box by more than eps, labels, clean logits."""
    x = victims.inputs(SHAPE, N, low=0.3, high=0.7)
    x = np.round(x * _GRID).astype(np.float32) / _GRID
    return x, victims.predicted(net(), x), predict(net(), x, TILE)


@functools.cache
def can_be_broken():
    """[N] bool: by eps times the dual norm of a difference of two rows."""
    _, labels, logits = data()
    weights = np.asarray(net().args[0], np.float64)
    gaps = logits - logits[np.arange(N), labels][:, None]
    slopes = np.abs(weights[None] - weights[labels][:, None]).sum(axis=2)
    gains = gaps + np.where(
        np.arange(CLASSES) == labels[:, None], -np.inf, EPS * slopes
    )
    return gains.max(axis=1) >= 0


def stage(broken, *, with_gradients=True):
    """What a plan says of one stage."""
    asked = np.ones(N, int)
    return SimpleNamespace(
        name="attack",
        broken=broken,
        forwards=asked,
        backwards=asked if with_gradients else 0 * asked,
        unfinished=0,
    )


def changed(subject, **fields):
    """A subject with other fields, whichever of its objects holds them."""
    parts = {"examples": subject.examples, "found": subject.found}
    names = {field.name for field in dataclasses.fields(subject)}
    for part, value in parts.items():
        held = {field.name for field in dataclasses.fields(value)} - names
        own = {name: fields[name] for name in held & set(fields)}
        parts[part] = dataclasses.replace(value, **own)
    rest = {name: value for name, value in fields.items() if name in names}
    return dataclasses.replace(subject, **parts, **rest)


def untouched(model, threat, images, labels, logits, **fields):
    """What is known before any attack, of examples that are all right."""
    n, ids = len(images), example_ids(images, labels)
    found = Verdicts(
        model="model",
        threat="linf",
        clean=np.ones(n, bool),
        x_adv=images,
        winner=np.full(n, -1),
        ids=ids,
        seed=0,
        tile=TILE,
    )
    whole = Subject(model, threat, Examples(images, labels, ids, logits), found)
    return changed(whole, **fields)


def subject(model=None, *, winner=None, **fields):
    """An evaluation; by default of the honest net, by a plan that misses nothing."""
    x, labels, logits = data()
    winner = np.where(can_be_broken(), 0, -1) if winner is None else winner
    whole = untouched(net(), threats.Linf(EPS), x, labels, logits, winner=winner)
    fields = {"stages": [stage(winner == 0)]} | fields
    return changed(whole, model=net() if model is None else model, **fields)


def bench(model=None, **fields):
    """A bench of all points, see `subject`."""
    return Bench(subject(model, **fields), N)


NOTHING_BROKEN = np.full(N, -1)  # The winners of a plan that did not try.
