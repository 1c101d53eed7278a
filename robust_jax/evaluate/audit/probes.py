"""Short walks in the threat set, with values and gradients on the way.

A net's values must change along a walk as its gradients say:
f(end) - f(start) = integral of gradient times walk. Midpoints make the integral, so
that kinks (ReLU, max-pool) average out, while jumps, gradients that are masked and
gradients of something else do not.
"""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks import gradients
from robust_jax.core import lift
from robust_jax.core.types import Array, LogitsFn, Threat, Untargeted
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.losses import objectives

OBJECTIVES = ("margin", "cross entropy")
_CLIMBS = (objectives.margin, objectives.cross_entropy)
_MIDPOINTS = 16  # Of a whole walk.
_FEW_MIDPOINTS = 4  # Of its beginning.
_BEGINNING = 1 / 32  # As a share of the walk: a quarter of 1/255 at eps = 8/255.
_ROUNDING_STEPS = 8  # Ulps of the largest logit; nets lose a few on the way.
_KNOWN = 10  # Times the rounding: from here on an error of 10 % is no rounding.
_FLOAT32 = float(jnp.finfo(jnp.float32).eps)


class Response(NamedTuple):
    """What a model answers at M points; the second axis is that of `OBJECTIVES`."""

    logits: Any  # [M, K]
    values: Any  # [M, 2]
    slopes: Any  # [M, 2] gradient times the walk; entries not finite are zero
    zeros: Any  # [M, 2] share of gradient entries that are zero
    denormals: Any  # [M, 2] share of entries below float32's normal numbers
    not_finite: Any  # [M, 2] share of entries that are NaN or infinite


class Walk(NamedTuple):
    """M walks from the clean points; the second axis is that of `OBJECTIVES`."""

    name: str
    change: np.ndarray  # [M, 2] value at the end minus value at the start
    integral: np.ndarray  # [M, 2] of the slopes
    length: np.ndarray  # [M, 2] integral of the absolute slopes
    seen: tuple[Response, ...]  # start, midpoints in order, end

    def error(self, rounding: np.ndarray) -> np.ndarray:
        """What the gradients leave unexplained, as a share of what happens, [M, 2].

        0 is as it should be, 1 is what a vanished gradient leaves; 1 where a value is
        not finite, NaN where all that happens is of the size of `rounding` [M, 2].
        """
        floor, is_number = rounding, np.isfinite(self.change)
        change = np.where(is_number, self.change, 0)
        unexplained = np.maximum(np.abs(change - self.integral) - floor, 0)
        happened = np.maximum(np.abs(change), self.length)
        known = happened > _KNOWN * floor
        error = np.where(known, unexplained / np.where(known, happened, 1), np.nan)
        return np.where(is_number, error, 1)


class Probes(NamedTuple):
    """All responses at and around the M points of a bench."""

    start: Response
    to_random: tuple[Walk, Walk]  # to uniform points of the threat set: all, beginning
    uphill: tuple[Walk, Walk]  # up the margin's gradient: all, beginning
    rounding: np.ndarray  # [M, 2] what the model's arithmetic does to a value
    float32: np.ndarray  # [M, 2] what float32 does to it at least
    around: tuple[np.ndarray, ...]  # see `ends`; each [M, *S]

    @property
    def random(self) -> Response:
        """The responses at random points of the threat set."""
        return self.to_random[0].seen[-1]

    @property
    def still(self) -> np.ndarray:
        """[M] bool: neither walk changes the margin by more than float32 rounds."""
        changes = [np.abs(w[0].change[:, 0]) for w in (self.to_random, self.uphill)]
        largest = np.max(changes, axis=0)  # NaN is no stillness.
        return largest <= _KNOWN * self.float32[:, 0]


def probes(bench: Bench) -> Probes:
    """The responses at and around the points of a bench, asked for once."""
    return bench.once("probes", lambda: _probes(bench))


def around(bench: Bench) -> tuple[np.ndarray, ...]:
    """Points of the threat set, see `ends`; without a gradient none leads uphill."""
    if bench.subject.no_gradient is None:
        return probes(bench).around
    return _around(bench, np.zeros_like(bench.images))


def ends(_: LogitsFn, key_data: Array, threat: Threat, x: Array, slope: Array) -> Any:
    """Points of one example's threat set.

    Returns: uniform, up the slope, a random corner, and off the grid of 8-bit images
        by less than half of its width; each [*S].
    """
    uniform_key, corner_key, grid_key = jax.random.split(lift.keys_from(key_data), 3)
    normal = jax.random.normal(corner_key, x.shape, x.dtype)
    off = jax.random.uniform(grid_key, x.shape, x.dtype, -1 / 1020, 1 / 1020)
    moved = x + threat.steepest(slope, x), x + threat.steepest(normal, x), x + off
    return threat.sample(uniform_key, x), *(threat.project(p, x) for p in moved)


def response(
    model: LogitsFn, x: Array, label: Array, walk: Array
) -> tuple[Response, Array]:
    """One example's response, by reverse mode as attacks do; the margin's gradient."""
    logits, back = jax.vjp(model, x)
    both = [jax.value_and_grad(climb)(logits, Untargeted(label)) for climb in _CLIMBS]
    values, upstream = jax.tree.map(lambda *each: jnp.stack(each), *both)
    (grads,) = jax.vmap(back)(upstream)  # One backward program for both.
    axes = tuple(range(1, grads.ndim))
    is_zero, is_number = grads == 0, jnp.isfinite(grads)
    is_small = jnp.abs(grads) < jnp.finfo(jnp.float32).tiny
    bad = is_zero, is_small & ~is_zero, ~is_number
    shares = [jnp.mean(entries, axis=axes) for entries in bad]
    grads = gradients.finite(grads)
    return Response(logits, values, jnp.sum(grads * walk, axis=axes), *shares), grads[0]


def _probes(bench: Bench) -> Probes:
    x = bench.images
    start, slope = _respond(bench, x, np.zeros_like(x))
    around = _around(bench, slope)

    def walks(end: np.ndarray, where: str) -> tuple[Walk, Walk]:
        whole = _walk(bench, start, end - x, _MIDPOINTS, where)
        name = f"at the beginning of the way {where}"
        few = _walk(bench, start, (end - x) * _BEGINNING, _FEW_MIDPOINTS, name)
        return whole, few

    to_random = walks(around[0], "to a random point of the threat set")
    uphill = walks(around[1], "up the margin's gradient")
    seen = [one for walk in (*to_random, *uphill) for one in walk.seen]
    logits, values = (
        np.where(np.isfinite(sizes), sizes, 0).max(axis=0)
        for sizes in (
            np.abs([one.logits for one in seen]),
            np.abs([one.values for one in seen]),
        )
    )
    # Both the logits round and what is computed from them: log K of tiny ones.
    ulp = _ROUNDING_STEPS * np.maximum(values, logits.max(axis=1)[:, None])
    return Probes(
        start, to_random, uphill, ulp * _narrowest(bench), ulp * _FLOAT32, around
    )


def _around(bench: Bench, slope: np.ndarray) -> tuple[np.ndarray, ...]:
    threat = lift.threat_on_host(bench.threat, bench.images)
    rows = bench.key_data, threat, bench.images, slope
    points: tuple[np.ndarray, ...] = bench.map(ends, *rows, brief=True)
    return points


def _walk(
    bench: Bench, start: Response, way: np.ndarray, midpoints: int, name: str
) -> Walk:
    times = (*((np.arange(midpoints) + 0.5) / midpoints), 1)
    way = way.astype(bench.images.dtype)
    points = ((bench.images + t * way).astype(way.dtype) for t in times)
    *middle, end = (_respond(bench, point, way)[0] for point in points)
    slopes = np.stack([one.slopes for one in middle]).astype(np.float64)
    change = end.values.astype(np.float64) - start.values
    integral, length = slopes.mean(axis=0), np.abs(slopes).mean(axis=0)
    return Walk(name, change, integral, length, (start, *middle, end))


def _respond(
    bench: Bench, x: np.ndarray, way: np.ndarray
) -> tuple[Response, np.ndarray]:
    return bench.map(response, x, bench.labels, way, forwards=1, backwards=2)


def _narrowest(bench: Bench) -> float:
    """The relative rounding of the narrowest float type that the model computes in."""
    one = jax.ShapeDtypeStruct(bench.images.shape[1:], bench.images.dtype)
    program = str(jax.make_jaxpr(bench.subject.model)(one))
    found = set(re.findall(r"\b(bf16|f16)\[", program))
    default = jax.config.values["jax_default_matmul_precision"]
    if default is None and jax.default_backend() != "cpu":
        found.add("bf16")  # What a TPU multiplies in; a GPU's TF32 is finer.
    widths = {"bf16": jnp.bfloat16, "f16": jnp.float16}
    return max([_FLOAT32, *(float(jnp.finfo(widths[name]).eps) for name in found)])
