"""Norm balls around the clean input, intersected with a box: the standard threats."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from robust_jax.core.types import Array, Key
from robust_jax.threats import directions, hyperplanes, norms, projections, samplers

Input = TypeVar("Input")  # An array [*S], or a pytree of arrays.


class Linf(NamedTuple):
    """Every coordinate may move by eps (Goodfellow et al., ICLR 2015).

    Like its siblings `L2`, `L1` and `L0` a pytree: radius and box are traced and may
    be mapped over. Inputs are arrays of any shape or pytrees of arrays, taken as one
    long vector; work is done in float32 at least and returned in the input's dtype,
    up to whose rounding every result is feasible.
    Edge cases: eps = 0 leaves x0 alone, eps = inf leaves only the box; projections
    and samples assume that x0 is in the box.

    Args:
        eps: radius, shape [], pixel units, >= 0, `inf` allowed.
        lower: lower end of the box: a scalar, or what broadcasts to the input.
        upper: upper end of the box, likewise.
    """

    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0

    @property
    def name(self) -> str:
        """The norm's name, as `by_name` takes it."""
        return "linf"

    def project(self, x: Input, x0: Input) -> Input:
        """The nearest point (Euclidean) of ball and box together."""
        return _on_vectors(projections.linf, self, x, x0)

    def sample(self, key: Key, x0: Input) -> Input:
        """A uniform point of the ball, clipped to the box."""
        return _sample(samplers.linf, self, key, x0)

    def steepest(self, grad: Input, x: Input) -> Input:
        """The displacement of size eps that climbs grad the most: eps * sign(grad)."""
        return _on_vectors(directions.linf, self, grad, x)

    def distance(self, x: Input, x0: Input) -> Array:
        """The largest absolute difference, shape []."""
        return _distance(norms.linf, x, x0)

    def cross(self, normal: Input, gap: ArrayLike, x: Input) -> Input:
        """The smallest displacement in the box that climbs `normal` by gap."""
        return _cross(hyperplanes.linf, self, normal, gap, x)

    def dual(self, grad: Input) -> Array:
        """The dual norm: the sum of absolute entries, shape []."""
        return _distance(norms.l1, grad, jax.tree.map(jnp.zeros_like, grad))


class L2(NamedTuple):
    """The Euclidean length of the displacement is at most eps. See `Linf`."""

    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0

    @property
    def name(self) -> str:
        """The norm's name, as `by_name` takes it."""
        return "l2"

    def project(self, x: Input, x0: Input) -> Input:
        """The nearest point (Euclidean) of ball and box together."""
        return _on_vectors(projections.l2, self, x, x0)

    def sample(self, key: Key, x0: Input) -> Input:
        """A uniform point of the ball, clipped to the box."""
        return _sample(samplers.l2, self, key, x0)

    def steepest(self, grad: Input, x: Input) -> Input:
        """The displacement of size eps that climbs grad the most: along grad."""
        return _on_vectors(directions.l2, self, grad, x)

    def distance(self, x: Input, x0: Input) -> Array:
        """The Euclidean distance, shape []."""
        return _distance(norms.l2, x, x0)

    def cross(self, normal: Input, gap: ArrayLike, x: Input) -> Input:
        """The smallest displacement in the box that climbs `normal` by gap."""
        return _cross(hyperplanes.l2, self, normal, gap, x)

    def dual(self, grad: Input) -> Array:
        """The dual norm: the Euclidean length, shape []."""
        return _distance(norms.l2, grad, jax.tree.map(jnp.zeros_like, grad))


class L1(NamedTuple):
    """The absolute displacements sum to at most eps. See `Linf`."""

    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0

    @property
    def name(self) -> str:
        """The norm's name, as `by_name` takes it."""
        return "l1"

    def project(self, x: Input, x0: Input) -> Input:
        """The nearest point (Euclidean) of ball and box together."""
        return _on_vectors(projections.l1, self, x, x0)

    def sample(self, key: Key, x0: Input) -> Input:
        """A uniform point of the ball, clipped to the box."""
        return _sample(samplers.l1, self, key, x0)

    def steepest(self, grad: Input, x: Input) -> Input:
        """The displacement of size eps that climbs grad the most: one coordinate."""
        return _on_vectors(directions.l1, self, grad, x)

    def distance(self, x: Input, x0: Input) -> Array:
        """The sum of absolute differences, shape []."""
        return _distance(norms.l1, x, x0)

    def cross(self, normal: Input, gap: ArrayLike, x: Input) -> Input:
        """The smallest displacement in the box that climbs `normal` by gap."""
        return _cross(hyperplanes.l1, self, normal, gap, x)

    def dual(self, grad: Input) -> Array:
        """The dual norm: the largest absolute entry, shape []."""
        return _distance(norms.linf, grad, jax.tree.map(jnp.zeros_like, grad))


class L0(NamedTuple):
    """At most floor(eps) coordinates may change, to any value of the box. See `Linf`.

    A coordinate is one number: one channel of one pixel.
    """

    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0

    @property
    def name(self) -> str:
        """The norm's name, as `by_name` takes it."""
        return "l0"

    def project(self, x: Input, x0: Input) -> Input:
        """The nearest point (Euclidean) of ball and box together."""
        return _on_vectors(projections.l0, self, x, x0)

    def sample(self, key: Key, x0: Input) -> Input:
        """floor(eps) random coordinates moved to uniform values of the box."""
        return _sample(samplers.l0, self, key, x0)

    def steepest(self, grad: Input, x: Input) -> Input:
        """The box's width along the floor(eps) steepest coordinates."""
        return _on_vectors(directions.l0, self, grad, x)

    def distance(self, x: Input, x0: Input) -> Array:
        """The number of coordinates that differ, shape []."""
        return _distance(norms.l0, x, x0)


Ball = Linf | L2 | L1 | L0


def ball_then_clip(threat: Ball, x: Input, x0: Input) -> Input:
    """The projection onto the ball alone, then clipped to the box.

    What AutoAttack's L2 attacks and most libraries do. For `Linf` and `L0` it is
    `threat.project` or keeps other coordinates; for `L2` and `L1` it leaves part of
    eps unused wherever the box cuts the displacement.
    Guarantees: feasible, as x0 is in the box; not the nearest point.

    Args:
        threat: one of the balls.
        x: the point to project, shape [*S].
        x0: the centre, shape [*S], in the box.
    Returns: shape [*S].
    """
    in_ball = threat._replace(lower=-jnp.inf, upper=jnp.inf).project(x, x0)
    return _on_vectors(lambda v, eps, lo, up: jnp.clip(v, lo, up), threat, in_ball)


def _on_vectors(fn: Callable[..., Array], threat: Ball, *inputs: Input) -> Input:
    """fn(*vectors, eps, lower, upper), returned in the form of the first input."""
    chex.assert_rank(threat.eps, 0)  # One example; vmap makes many.
    chex.assert_trees_all_equal_shapes(inputs[0], inputs[-1])
    vector, restore = _as_vector(inputs[0])
    dtype = _work_dtype(vector)
    vectors = [_as_vector(tree)[0].astype(dtype) for tree in inputs]
    eps = jnp.asarray(threat.eps, dtype)
    lower = _bound(threat.lower, inputs[0]).astype(dtype)
    upper = _bound(threat.upper, inputs[0]).astype(dtype)
    return restore(fn(*vectors, eps, lower, upper).astype(vector.dtype))


def _sample(sampler: Callable[..., Array], threat: Ball, key: Key, x0: Input) -> Input:
    def with_key(vector: Array, *bounds: Array) -> Array:
        return sampler(key, vector, *bounds)

    return _on_vectors(with_key, threat, x0)


def _cross(
    shortest: Callable[..., Array],
    threat: Ball,
    normal: Input,
    gap: ArrayLike,
    x: Input,
) -> Input:
    def with_gap(normal: Array, x: Array, eps: Array, *box: Array) -> Array:
        return shortest(normal, jnp.asarray(gap, x.dtype), x, *box)

    return _on_vectors(with_gap, threat, normal, x)


def _distance(norm: Callable[[Array], Array], x: Input, x0: Input) -> Array:
    chex.assert_trees_all_equal_shapes(x, x0)
    vector = _as_vector(x)[0]
    dtype = _work_dtype(vector)  # A bfloat16 cannot count beyond 256.
    return norm(vector.astype(dtype) - _as_vector(x0)[0].astype(dtype))


def _as_vector(tree: Any) -> tuple[Array, Callable[[Array], Any]]:
    """The leaves as one vector [d], and the way back."""
    leaves, structure = jax.tree.flatten(tree)
    if len(leaves) > 1:
        return ravel_pytree(tree)
    leaf = jnp.asarray(leaves[0])  # Only a reshape: nothing is copied.

    def restore(vector: Array) -> Any:
        return jax.tree.unflatten(structure, [vector.reshape(leaf.shape)])

    return leaf.reshape(-1), restore


def _work_dtype(vector: Array) -> jnp.dtype:
    return jnp.promote_types(vector.dtype, jnp.float32)


def _bound(bound: Any, like: Any) -> Array:
    """A scalar, or the bound of every coordinate of the input as one vector."""
    leaves = jax.tree.leaves(bound)
    if len(leaves) == 1 and jnp.ndim(leaves[0]) == 0:
        return jnp.asarray(leaves[0])
    full = jax.tree.map(lambda leaf, b: jnp.broadcast_to(b, leaf.shape), like, bound)
    return _as_vector(full)[0]
