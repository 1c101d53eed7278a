"""The active test: an adversarial example is planted, and the attack must find it.

Zimmermann et al., "Increasing Confidence in Adversarial Robustness Evaluations",
NeurIPS 2022: give the model a head whose adversarial examples are known, and see
whether the attack finds them through the model.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import lift
from robust_jax.core.streams import OfItem
from robust_jax.core.types import Array, Attack, LogitsFn, Threat, Untargeted
from robust_jax.evaluate.audit import drivers
from robust_jax.evaluate.audit.subject import Bench

_OTHERS = 16  # Random points that the planted one must stand apart from.
_SHARE = 0.5  # Of the distance to the nearest of them: what counts as found.
_LEAST_SPREAD = 0.03  # Of the logits' largest: smaller ones are not fully evened out.
_BENIGN = 0  # The class of the head's first logit.


class Plant(NamedTuple):
    """What the head of one example knows of its planted point."""

    answer: Array  # [K] the model's logits there
    scale: Array  # [K, R] what makes distances of logits alike in all directions
    radius: Array  # [] nearer than this, in scaled logits, is adversarial


class Search(NamedTuple):
    """What became of M planted points."""

    can_be_found: np.ndarray  # [M] bool, the model tells the point from the others
    found: np.ndarray  # [M] bool


def head(model: LogitsFn, plant: Plant) -> LogitsFn:
    """Two classes: near the planted point, as the model sees it, or not.

    The logit of "not" is the distance from the planted point's answer in units of the
    radius, that of "near" is 1: a slope of constant length, from wherever the model
    passes one on. Rounding at the tip, where it has none, is inside the radius.
    """

    def logits(x: Array) -> Array:
        away = (model(x) - plant.answer) @ plant.scale / plant.radius
        return jnp.stack([_length(away), jnp.ones((), away.dtype)])

    return logits


def plant(model: LogitsFn, key_data: Array, threat: Threat, x: Array) -> Plant:
    """Plants one example's point: of 17 random ones of the threat set, one apart.

    Distances are those of whitened logits: where all logits rise together, or where one
    difference moves ten times as far as the others, an honest attack would walk in a
    valley's steep sides. The planted point is the one that is furthest from its nearest
    among the others and the input, and the radius is half of that, so that chance
    hardly meets it, and only a slope leads there. With ten classes any of them would
    do; with two, all lie on a line, where some neighbours are nearer than an attack
    steps.
    """
    key = jax.random.fold_in(lift.keys_from(key_data), OfItem.PLANTING)
    keys = jax.random.split(key, _OTHERS + 1)
    drawn = jax.vmap(lambda key: model(threat.sample(key, x)))(keys)
    scale = _whitening(drawn)
    seen = jnp.concatenate([drawn, model(x)[None]]) @ scale
    distance = jax.vmap(lambda a: jax.vmap(lambda b: _length(a - b))(seen))(seen[:-1])
    itself = jnp.eye(len(drawn), len(seen), dtype=bool)
    alone = jnp.min(jnp.where(itself, jnp.inf, distance), axis=1)
    one = jnp.argmax(alone)
    return Plant(drawn[one], scale, _SHARE * alone[one])


def search(bench: Bench, attack: Attack) -> Search:
    """Plants one point per example of a bench and lets an attack look for it."""
    subject = bench.subject
    rows = bench.key_data, lift.threat_on_host(bench.threat, bench.images), bench.images
    plants = bench.map(plant, *rows, forwards=_OTHERS + 2, brief=True)
    can_be_found = np.isfinite(plants.answer).all(axis=1)
    can_be_found &= np.isfinite(plants.radius) & (plants.radius > 0)
    goals: Any = Untargeted(np.full(len(bench), _BENIGN, np.int32))
    run = lift.in_tiles(drivers.under(attack, head), tile=subject.tile)
    result = run(bench.keys, subject.model, bench.threat, bench.images, (goals, plants))
    bench.count(int(result.forwards.sum()), int(result.backwards.sum()))
    return Search(can_be_found, can_be_found & (np.asarray(result.margin) >= 0))


def _whitening(answers: Array) -> Array:
    """A matrix [K, R] under which logits [M, K] vary alike in all directions.

    What all classes have in common decides nothing and is taken off. Directions in
    which the rest hardly varies at all, by rounding alone, stay small; the last of M is
    left out, as M points span one less: what they do not vary in, others may.
    """
    own = answers - jnp.mean(answers, axis=1, keepdims=True)
    centred = own - jnp.mean(own, axis=0, keepdims=True)
    largest = jnp.max(jnp.abs(centred))
    size = jnp.where(jnp.isfinite(largest) & (largest > 0), largest, 1)
    known = jnp.where(jnp.isfinite(centred), centred, 0) / size
    _, spreads, directions = jnp.linalg.svd(known, full_matrices=False)
    spreads, directions = (part[: len(answers) - 1] for part in (spreads, directions))
    evened = jnp.hypot(spreads, _LEAST_SPREAD * spreads[0])
    evened = jnp.where(evened > 0, evened, 1) * size
    scale = directions.T / evened[None]
    return scale - jnp.mean(scale, axis=0, keepdims=True)


def _length(v: Array) -> Array:
    """The Euclidean length, with a slope of zero at zero."""
    square = jnp.sum(v * v)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
