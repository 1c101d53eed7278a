"""Estimators that change the input that the gradient is asked of, or the gradient.

Each takes the estimator that it wraps as `inner` and returns another one, so that
they nest: `input_diversity(inner=translation_invariance())`. The outer one acts on
the model first: in `a(inner=b)` the estimator b sees the model as a changed it. They
are made for transfer to unseen models.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.gradients.estimator import (
    Estimate,
    Gradient,
    Query,
    exact,
    judged_at,
    memory_each,
)
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.types import Array, Key

_LOWEST_SHARE = 299 / 330  # Xie et al. (2019), code: sizes from 299, framed to 330.
_REACH = 3.0  # Dong et al. (2019), code: the kernel ends at three deviations.


@factory()
def input_diversity(
    probability: float = 0.5,
    lowest_share: float = _LOWEST_SHARE,
    inner: Gradient | None = None,
) -> Gradient:
    """DI: the gradient at an input that is now and then shrunk and moved at random.

    With the given probability the image is resized (bilinear) to a random size, the
    same share of height and width, and put at a random place on zeros; the gradient
    of the objective there is mapped back to x. One draw per estimate.
    Guarantees: value and logits are those of x, for one forward more; without the
    transform the gradient is that of `inner`.
    Edge cases: rank 1 has height only; an axis of length 1 stays.

    Args:
        probability: of the transform, in [0, 1].
        lowest_share: of height and width that the smallest size has, in (0, 1].
        inner: the estimator asked at the transformed input; `exact()` by default.
    Raises: ValueError: for numbers outside their ranges; while tracing, for inputs
        that are not of shape [H], [H, W], [H, W, C] or [T, H, W, C].
    References: Xie et al., "Improving Transferability of Adversarial Examples with
        Input Diversity", CVPR 2019. Differs from the authors' code in: the model gets
        the size it knows, where they enlarge the input by up to 330 / 299; bilinear
        rather than nearest, which would drop rows; draws per example, not per batch;
        the last place of the frame can be drawn; zero is black, not grey.

    >>> diverse = rj.attacks.input_diversity(0.7)
    >>> diverse.forwards, diverse.backwards
    (2, 1)
    >>> rj.attacks.mim(gradient=diverse)
    mim(steps=10, relative_step=0.1, decay=1.0,
    gradient=input_diversity(probability=0.7, lowest_share=0.906))
    """
    checks.holds(
        "probability", probability, lambda v: 0 <= v <= 1, "a number in [0, 1]"
    )
    checks.holds(
        "lowest_share", lowest_share, lambda v: 0 < v <= 1, "a share in (0, 1]"
    )
    inner = inner or exact()

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        place_key, inner_key = jax.random.split(query.key)
        place = _random_place(place_key, query.x, probability, lowest_share)

        def placed(x: Array) -> Array:
            return query.logits_fn(place(x))

        seen, memory = inner.estimate(
            query._replace(key=inner_key, logits_fn=placed), memory
        )
        return judged_at(query, seen.grad), memory

    return Gradient(inner.init, estimate, inner.forwards + 1, inner.backwards)


@factory("kernel_size")
def translation_invariance(
    kernel_size: int = 15, inner: Gradient | None = None
) -> Gradient:
    """TI: the gradient smoothed by a Gaussian, as if the image had been shifted.

    For a model that hardly changes under shifts, the mean gradient over shifted
    images is the gradient convolved with the kernel of their weights. Each channel
    and frame by itself; beyond the edges the gradient counts as zero.
    Edge cases: the kernel may be larger than the image; kernel_size = 1 changes
    nothing. Being linear, it may stand inside or outside of other transforms.

    Args:
        kernel_size: odd length of the kernel, which ends at 3 standard deviations.
        inner: the estimator whose answer is smoothed; `exact()` by default.
    Raises: ValueError: if kernel_size is not an odd integer >= 1; while tracing, for
        inputs that are not of shape [H], [H, W], [H, W, C] or [T, H, W, C].
    References: Dong et al., "Evading Defenses to Transferable Adversarial Examples by
        Translation-Invariant Attacks", CVPR 2019. Differs from the authors' code in:
        nothing.

    >>> smooth = rj.attacks.translation_invariance(5, rj.attacks.input_diversity())
    >>> smooth, smooth.forwards
    (translation_invariance(kernel_size=5, inner=input_diversity(probability=0.5,
    lowest_share=0.906)), 2)
    """
    checks.positive_integer("kernel_size", kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size}; expected an odd integer")
    inner = inner or exact()

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        seen, memory = inner.estimate(query, memory)
        return seen._replace(grad=_smoothed(seen.grad, kernel_size)), memory

    return Gradient(inner.init, estimate, inner.forwards, inner.backwards)


@factory("copies")
def scale_invariance(copies: int = 5, inner: Gradient | None = None) -> Gradient:
    """SI: the gradient of the mean objective at x, x / 2, x / 4, ...

    Copy i is the model behind a factor 2^-i, differentiated with respect to x, so
    that darker copies count less. Copy 0 gives value and logits. Each copy has a key
    and a memory of its own; memory of the device grows with copies.

    Args:
        copies: number of scales, x itself included, >= 1.
        inner: the estimator asked of each copy; `exact()` by default.
    Raises: ValueError: if copies is not an integer >= 1.
    References: Lin et al., "Nesterov Accelerated Gradient and Scale Invariance for
        Adversarial Attacks", ICLR 2020, Alg. 1. Differs from the authors' code in:
        pixels of [0, 1] are scaled, towards black, where theirs of [-1, 1] go to grey.

    >>> rj.attacks.scale_invariance(copies=3).backwards
    3
    >>> rj.attacks.mim(gradient=rj.attacks.scale_invariance(copies=3))
    mim(steps=10, relative_step=0.1, decay=1.0, gradient=scale_invariance(copies=3))
    """
    checks.positive_integer("copies", copies)
    inner = inner or exact()

    def estimate(query: Query, memory: Any) -> tuple[Estimate, Any]:
        def estimate_at(key: Key, scale: Array, memory: Any) -> tuple[Estimate, Any]:
            def darker(x: Array) -> Array:
                return query.logits_fn(
                    jax.tree.map(lambda leaf: (scale * leaf).astype(leaf.dtype), x)
                )

            return inner.estimate(query._replace(key=key, logits_fn=darker), memory)

        keys = jax.random.split(query.key, copies)
        scales = jnp.float32(2.0) ** -jnp.arange(copies, dtype=jnp.int32)
        estimates, memory = jax.vmap(estimate_at)(keys, scales, memory)
        grad = jax.tree.map(lambda g: jnp.mean(g, axis=0), estimates.grad)
        return Estimate(estimates.value[0], estimates.logits[0], grad), memory

    return Gradient(
        memory_each(inner, copies),
        estimate,
        copies * inner.forwards,
        copies * inner.backwards,
    )


def _spatial_axes(x: Array) -> tuple[int, ...]:
    """Height and width of [H], [H, W], [H, W, C] or [T, H, W, C]."""
    axes: dict[int, tuple[int, ...]] = {1: (0,), 2: (0, 1), 3: (0, 1), 4: (1, 2)}
    if jnp.ndim(x) not in axes:
        raise ValueError(
            f"x.shape={jnp.shape(x)}; expected [H], [H, W], [H, W, C] or "
            "[T, H, W, C]; reshape inside the model"
        )
    return axes[jnp.ndim(x)]


def _random_place(
    key: Key, x: Array, probability: float, lowest_share: float
) -> Callable[[Array], Array]:
    """x [*S] -> [*S], linear: shrunk and moved as drawn, or left alone."""
    axes = _spatial_axes(x)
    whether_key, size_key, place_key = jax.random.split(key, 3)
    whether = jax.random.uniform(whether_key, (), jnp.float32) < probability
    length = jnp.array([x.shape[axis] for axis in axes], jnp.int32)
    lowest = jnp.maximum(jnp.floor(lowest_share * length).astype(length.dtype), 1)
    # One draw for all axes keeps the aspect ratio; the whole length is the
    # untransformed image's.
    drawn = jax.random.uniform(size_key, (), jnp.float32)
    size = lowest + jnp.floor(drawn * (length - lowest))
    room = length - size
    drawn = jax.random.uniform(place_key, room.shape, jnp.float32)
    corner = jnp.floor(drawn * (room + 1))

    def placed(x: Array) -> Array:
        moved = jax.image.scale_and_translate(
            x, x.shape, axes, size / length, corner, method="linear", antialias=False
        )
        return jnp.where(whether, moved, x)

    return placed


def _smoothed(grad: Array, kernel_size: int) -> Array:
    """Convolved along height and width, each by one product with a banded matrix."""
    deviations = np.linspace(-_REACH, _REACH, kernel_size)
    kernel = np.exp(-(deviations**2) / 2)
    kernel /= kernel.sum()
    smooth = grad.astype(jnp.promote_types(grad.dtype, jnp.float32))
    for axis in _spatial_axes(grad):
        n, half = grad.shape[axis], kernel_size // 2
        offsets = np.arange(n)[:, None] - np.arange(n)
        band = np.where(
            abs(offsets) <= half, kernel[np.clip(offsets + half, 0, 2 * half)], 0
        )
        product = jnp.tensordot(
            jnp.asarray(band, smooth.dtype), smooth, (1, axis), precision="highest"
        )
        smooth = jnp.moveaxis(product, 0, axis)
    return smooth.astype(grad.dtype)
