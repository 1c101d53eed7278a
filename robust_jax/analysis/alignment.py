"""Does a net's gradient look like the image? Saliency alignment (pure)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.brief import brief, brief_html
from robust_jax.core.types import Array, LogitsFn


class Alignment(NamedTuple):
    """How far an image lies along its margin's gradient."""

    alpha: Array  # [] |<x, g>| / |g|: the distance to the boundary if the net is linear
    cosine: Array  # [] the same over |x|, in [0, 1]

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


def margin_gradient(logits_fn: LogitsFn, x: Array, label: Array) -> Array:
    """The gradient of the label's logit less that of the best other class, [*S].

    A net's saliency map: where a change moves the decision most.

    Args:
        logits_fn: one example [*S] -> logits [K].
        x: the example, shape [*S].
        label: int, shape [].
    """

    def margin(x: Array) -> Array:
        logits = logits_fn(x)
        own = jnp.arange(logits.shape[0]) == label
        return logits[label] - jnp.max(jnp.where(own, -jnp.inf, logits))

    return jax.grad(margin)(x)


def alignment(logits_fn: LogitsFn, x: Array, label: Array) -> Alignment:
    """How well the margin's gradient is aligned with the image.

    Robust nets' is better aligned than that of nets trained on clean images.
    Edge cases: 0 where the gradient or the image is zero.

    Args:
        logits_fn: one example [*S] -> logits [K].
        x: the example, shape [*S].
        label: int, shape [].
    References: Etmann et al., "On the connection between adversarial robustness and
        saliency map interpretability", ICML 2019, Def. 3.
    """
    gradient = margin_gradient(logits_fn, x, label)
    along = jnp.abs(jnp.vdot(x, gradient))
    steep, long = jnp.linalg.norm(gradient.ravel()), jnp.linalg.norm(x.ravel())
    return Alignment(_ratio(along, steep), _ratio(along, steep * long))


def _ratio(value: Array, by: Array) -> Array:
    return jnp.where(by > 0, value / jnp.where(by > 0, by, 1), 0)
