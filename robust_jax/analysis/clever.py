"""CLEVER: an estimate of the nearest adversarial distance without an attack (host)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from robust_jax.core import checks, closures
from robust_jax.core.types import Array, Key, LogitsFn

_MOST_SHAPE = 1e3  # Shapes found on nets are below 20, or above a million.
_SHAPES = (0.1, 1.0, 5.0, 10.0, 20.0)  # The fit's starts.
_SAME = 1e-5  # Relative spread of maxima that counts as rounding.


def clever(
    logits_fn: LogitsFn,
    x: Array,
    label: int,
    target: int,
    key: Key,
    *,
    radius: float = 2.0,
    batches: int = 50,
    samples: int = 128,
) -> float:
    """The L2 distance within which a net probably does not change to a target.

    The margin of the label over the target, divided by the largest norm of its gradient
    in a ball; that is the end point of the extreme-value distribution of the maxima of
    batches of uniform points, and the ratio is cut to the radius.
    An estimate, neither bound: the largest slope may hide where no point fell.
    Edge cases: 0 where the net does not prefer the label; of a gradient that is the
    same everywhere, as of an affine net, the distance to the plane.

    Args:
        logits_fn: one example [*S] -> logits [K].
        x: the example, shape [*S].
        label: its class.
        target: another class.
        key: of the points.
        radius: of the ball, > 0.
        batches: maxima to fit, >= 2.
        samples: points of each.
    Raises: ValueError: an argument out of its range; label and target are the same.
    References: Weng et al., "Evaluating the robustness of neural networks: an extreme
        value theory approach", ICLR 2018, Alg. 1. The ball is not cut to the box, as in
        the authors' code. Differs from the paper in: fits that run away do not count:
        those to a law without an end point, half of those on a CNN, gave a score of 0;
        maxima that differ by rounding are not fitted.
    """
    checks.positive_number("radius", radius)
    checks.positive_integer("samples", samples)
    if batches < 2:
        raise ValueError(f"batches={batches}; expected at least two to fit")
    if label == target:
        raise ValueError(f"target={target} is the label; expected another class")

    x = jnp.asarray(x)
    logits_fn = closures.as_of_now(logits_fn, x)
    classes = jnp.int32(label), jnp.int32(target)
    now = float(_margin(logits_fn, x, *classes))
    if now <= 0:
        return 0.0
    each_key = jax.random.split(key, batches)
    maxima = _maxima(logits_fn, x, *classes, each_key, radius, samples)
    end = _end_point(np.asarray(maxima))
    return min(now / max(end, np.finfo(float).tiny), radius)


def _margin(logits_fn, x, label, target):
    logits = logits_fn(x)
    return logits[label] - logits[target]


@functools.partial(jax.jit, static_argnames="samples")
def _maxima(logits_fn, x, label, target, keys, radius, samples):
    """The largest norm of the margin's gradient in each batch of points."""

    def maximum(key):
        points = x + radius * _in_unit_ball(key, samples, x.shape)
        grads = jax.vmap(jax.grad(lambda z: _margin(logits_fn, z, label, target)))(
            points
        )
        return jnp.max(jnp.linalg.norm(grads.reshape(samples, -1), axis=1))

    return jax.lax.map(maximum, keys)


def _in_unit_ball(key: Key, count: int, shape: tuple[int, ...]) -> Array:
    """Uniform points, shape [count, *shape]."""
    direction_key, length_key = jax.random.split(key)
    v = jax.random.normal(direction_key, (count, int(np.prod(shape))))
    v = v / jnp.linalg.norm(v, axis=1, keepdims=True)
    length = jax.random.uniform(length_key, (count, 1)) ** (1 / v.shape[1])
    return (v * length).reshape(count, *shape)


def _end_point(maxima: NDArray[np.floating]) -> float:
    """That of the reversed Weibull distribution with the best fit.

    A fit may run away to a law without an end point, its shape beyond all bounds; if
    all do, the largest maximum counts.
    """
    maxima = maxima.astype(np.float64)
    if np.ptp(maxima) <= _SAME * maxima.max():
        return float(maxima.max())
    fits = [stats.weibull_max.fit(maxima, shape) for shape in _SHAPES]
    fits = [fit for fit in fits if fit[0] <= _MOST_SHAPE]
    if not fits:
        return float(maxima.max())
    best = max(fits, key=lambda fit: stats.kstest(maxima, "weibull_max", fit).pvalue)
    return float(best[1])
