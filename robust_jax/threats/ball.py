"""Norm balls around the clean input, intersected with a box: what they have in common.

A norm's room (`linf`, `l2`, `l1`, `l0`) writes its operations on vectors [d]; here
inputs of any shape are made vectors and back. What is called there, with a leading
underscore, finds `eps` [] and the box ([] or [d], `inf` allowed) of one dtype with the
vectors: float32 or float64.

Projections. In each norm the nearest point has the form clip(x0 + shrink(x - x0)): one
number (the scale, the soft threshold, the set of coordinates kept) is unknown, and the
size of the clipped displacement is monotone in it, which `search` turns into its exact
value. Guarantees: feasible up to the rounding of x; a point that is inside by more than
rounding comes back bit by bit; eps = 0 gives x0 and eps = inf the clipped x, exactly.
Edge cases: a NaN coordinate stays NaN; L0 may put it back to x0.

Samples. Since x0 is in the box, clipping a point of the ball is its projection onto
ball and box together. Guarantees: feasible; deterministic in key; eps = 0 gives x0
exactly. Edge cases: eps = inf gives uniform points of the box, which must be finite.

Steepest directions. A coordinate on the face of the box towards which its gradient
points cannot move: for Linf, L1 and L0 it counts as having gradient zero, so that those
which move few coordinates waste none. L2 keeps it: without its part of the step, the
projection would pull it back off its face, and ascent would end in a cycle below the
optimum. Guarantees: inside the box's reach, the inner product with grad is eps times
the dual norm (L0 apart); a positive multiple of grad gives the same direction, for
gradients from 1e-37 to 1e35 in float32. Edge cases: zero gradient gives zero; NaN
gradients give NaN; eps = inf moves by inf, which a projection clips to the box.

Crossings. Wanted is the smallest displacement with `normal @ displacement = gap`. Every
coordinate moves towards the plane, as far as one unknown number says (a common length,
a multiple of the normal, a threshold on its entries) or as far as the box lets it; the
error is that of the final sum. Guarantees: x + displacement is in the box up to the
rounding of x; scaling normal and gap by the same factor changes nothing, for normals
from 1e-37 to 1e37 in float32. Edge cases: where the box ends before the plane, the
displacement to the corner that comes nearest to it; a zero gap or normal gives zero;
coordinates with a zero normal stay; a NaN in the normal or the gap gives NaN.
References: Croce & Hein, "Minimally distorted adversarial examples with a fast
adaptive boundary attack", ICML 2020, who sort the coordinates.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from robust_jax.core.faces import shut, snapped
from robust_jax.core.types import Array, Key
from robust_jax.core.values import Value
from robust_jax.threats.vectors import as_vector, bound, or_one, work_dtype

Input = TypeVar("Input")  # An array [*S], or a pytree of arrays.


class Ball(Value):
    """A ball of a norm in a box; `Linf`, `L2`, `L1` and `L0`.

    A pytree: radius and box are traced and may be mapped over. Inputs are arrays of any
    shape or pytrees of arrays, taken as one long vector; work is done in float32 at
    least and returned in the input's dtype, up to whose rounding every result is
    feasible.
    Edge cases: eps = 0 leaves x0 alone, eps = inf leaves only the box; projections
    and samples assume that x0 is in the box.

    Args:
        eps: radius, shape [], pixel units, >= 0, `inf` allowed.
        lower: lower end of the box: a scalar, or what broadcasts to the input.
        upper: upper end of the box, likewise.
        mask: where it is False or zero, nothing may change; broadcasts to the input.
        lattice: the step between the values that may be taken, such as 1/255 of an
            8-bit image in [0, 1], whose inverse is an integer; the input lies on it.

    >>> x = jnp.full(3, 0.5)
    >>> rj.threats.L2(0.3).distance(x + 0.1, x)
    Array(0.173, dtype=float32)
    """

    name: ClassVar[str]
    sums: ClassVar[bool] = True  # whether the norm adds up what the coordinates give
    counts: ClassVar[bool] = False  # whether it counts them
    eps: Array | float
    lower: Array | float = 0.0
    upper: Array | float = 1.0
    mask: Array | None = None
    lattice: Array | float | None = None

    def project(self, x: Input, x0: Input) -> Input:
        """The nearest point (Euclidean) of ball and box together."""
        near = self._on_vectors(lambda ball, x, x0: ball._project(x, x0), x, x0)
        return snapped(self.lattice, near, x0)

    def sample(self, key: Key, x0: Input) -> Input:
        """A random point of the ball, clipped to the box; see the norm's `_sample`."""
        drawn = self._on_vectors(lambda ball, x0: ball._sample(key, x0), x0)
        return snapped(self.lattice, drawn, x0)

    def steepest(self, grad: Input, x: Input) -> Input:
        """The displacement of size eps that climbs grad the most."""
        return self._on_vectors(lambda ball, g, x: ball._steepest(g, x), grad, x)

    def distance(self, x: Input, x0: Input) -> Array:
        """The size of the displacement, shape []."""
        chex.assert_trees_all_equal_shapes(x, x0)
        vector = as_vector(x)[0]
        dtype = work_dtype(vector)  # A bfloat16 cannot count beyond 256.
        delta = vector.astype(dtype) - as_vector(x0)[0].astype(dtype)
        return self.size(self._in_units(delta, x))

    def measured(self, delta: np.ndarray) -> np.ndarray:
        """The sizes of displacements [N, *S] on the host, float64 [N].

        `inf` where a coordinate changes that must not.
        """
        flat = np.abs(delta.astype(np.float64))
        if self.mask is not None:
            shut = np.broadcast_to(np.asarray(self.mask) == 0, flat.shape)
            flat = np.where(shut & (flat > 0), np.inf, flat)
        return self._measured(flat.reshape(len(flat), -1))

    def largest(self, width: np.ndarray) -> tuple[float, str]:
        """The radius from which on any image of the box is allowed, and what it is.

        Args:
            width: of the box, of one image or more, [N, *S].
        """
        most = float(self.replace(mask=None).measured(width).max()) * (1 + 1e-6)
        what = f"whose {self.name.upper()} diameter is {most:.4g}"
        return most, f"the threat's box, {what}"

    @staticmethod
    def _measured(sizes: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _in_units(self, delta: Array, x: Any) -> Array:
        """A displacement in what the norm measures it by; x has the input's form."""
        return delta

    @staticmethod
    def size(delta: Array) -> Array:
        """The norm of a vector [d], shape []."""
        raise NotImplementedError

    def proximal(self, v: Array, weight: Array) -> Array:
        """v [d], drawn towards zero as a descent of its size would; weight [] > 0.

        The minimiser z of ||z - v||_2^2 / 2 + weight * size(z).
        """
        raise NotImplementedError

    def _project(self, x: Array, x0: Array) -> Array:
        raise NotImplementedError

    def _sample(self, key: Key, x0: Array) -> Array:
        raise NotImplementedError

    def _steepest(self, grad: Array, x: Array) -> Array:
        raise NotImplementedError

    def _on_vectors(self, fn: Callable[..., Array], *inputs: Input) -> Input:
        """fn(ball, *vectors), returned in the form of the first input."""
        chex.assert_rank(self.eps, 0)  # One example; vmap makes many.
        chex.assert_trees_all_equal_shapes(inputs[0], inputs[-1])
        vector, restore = as_vector(inputs[0])
        dtype = work_dtype(vector)
        vectors = [as_vector(tree)[0].astype(dtype) for tree in inputs]
        faces = {
            name: bound(value, inputs[0]).astype(dtype)
            for name, value in vars(self).items()
            if name not in ("eps", "lattice") and value is not None
        }
        ball = self.replace(eps=jnp.asarray(self.eps, dtype), **faces)
        if self.mask is not None:
            box = shut(ball.mask, ball.lower, ball.upper, vectors[-1])
            ball = ball.replace(lower=box[0], upper=box[1])
        return restore(fn(ball, *vectors).astype(vector.dtype))

    def _free(self, vector: Array) -> Array:
        """Zero where nothing may change."""
        return vector if self.mask is None else jnp.where(self.mask != 0, vector, 0)

    def _clip(self, x: Array) -> Array:
        return jnp.clip(x, self.lower, self.upper)

    def _room(self, delta: Array, x0: Array) -> Array:
        """How far each coordinate can move from x0 in the direction of delta."""
        return jnp.where(delta > 0, self.upper - x0, x0 - self.lower)

    def _movable(self, grad: Array, x: Array) -> Array:
        stuck = ((grad > 0) & (x >= self.upper)) | ((grad < 0) & (x <= self.lower))
        return jnp.where(stuck, 0, grad)

    def _stretch(self, unit: Array) -> Array:
        """Maps [0, 1) to the box."""
        return self._clip(self.lower + unit * (self.upper - self.lower))

    def _by_radius(self, draw: Callable[..., Array], key: Key, x0: Array) -> Array:
        """A uniform direction times eps * U^(1/d), the radius of a uniform point."""
        direction_key, radius_key, box_key = jax.random.split(key, 3)
        direction = self._free(draw(direction_key, x0.shape, x0.dtype))
        tiny = jnp.finfo(x0.dtype).tiny  # All draws may be zero when d = 1.
        direction = direction / jnp.maximum(self.size(direction), tiny)
        d = x0.size if self.mask is None else jnp.maximum(jnp.sum(self.mask != 0), 1)
        share = jax.random.uniform(radius_key, (), x0.dtype) ** (1 / d)
        in_ball = self._clip(x0 + self.eps * share * direction)
        in_box = self._stretch(jax.random.uniform(box_key, x0.shape, x0.dtype))
        return jnp.where(jnp.isinf(self.eps), in_box, in_ball)

    def _times(self, direction: Array) -> Array:
        return jnp.where(direction == 0, 0, self.eps * direction)  # inf * 0 is NaN.


class DualBall(Ball):
    """A ball of a norm that has a dual norm: `Linf`, `L2` and `L1`.

    >>> rj.threats.Linf(0.1).dual(jnp.array([1.0, -2.0]))
    Array(3., dtype=float32)
    """

    def cross(self, normal: Input, gap: ArrayLike, x: Input) -> Input:
        """The smallest displacement in the box that climbs `normal` by gap []."""

        def crossed(ball: DualBall, normal: Array, x: Array) -> Array:
            way = ball._way(normal, jnp.asarray(gap, x.dtype), x)
            return way.sign * ball._cross(way)

        return self._on_vectors(crossed, normal, x)

    def dual(self, grad: Input) -> Array:
        """The dual norm, shape []."""
        vector = as_vector(grad)[0]
        ball = (
            self.replace(mask=bound(self.mask, grad)) if self.mask is not None else self
        )
        return ball._dual(ball._free(vector.astype(work_dtype(vector))))

    def _dual(self, grad: Array) -> Array:
        raise NotImplementedError

    def _cross(self, way: "Way") -> Array:
        """How far each coordinate moves, [d] >= 0."""
        raise NotImplementedError

    def _way(self, normal: Array, gap: Array, x: Array) -> "Way":
        # A net sure of its answer has tiny gradients.
        unit = or_one(jnp.max(jnp.abs(normal)))
        weight = jnp.abs(normal) / unit
        # What underflows stays: in an infinite box it would gain 0 * inf.
        sign = jnp.where(weight > 0, jnp.sign(gap) * jnp.sign(normal), 0)
        down = jnp.where(sign < 0, x - self.lower, 0)
        room = jnp.where(sign > 0, self.upper - x, down)
        return Way(weight, jnp.abs(gap) / unit, room, sign)


class Way(NamedTuple):
    """What is to be covered, in units of the normal's largest entry."""

    weight: Array  # [d] gained by a coordinate per unit of length, in [0, 1]
    gap: Array  # [] >= 0
    room: Array  # [d] how far each coordinate can move towards the plane
    sign: Array  # [d] the direction in which it does


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
    References: Croce & Hein, ICML 2020 (APGD), and most libraries (L2). Differs from
        `threat.project` in: the latter is the exact projection onto ball and box
        together, which attacks use by default.

    >>> threat, x = rj.threats.L2(1.0), jnp.array([0.9, 0.5])
    >>> rj.threats.ball_then_clip(threat, jnp.array([1.9, 1.0]), x)
    Array([1., 0.947], dtype=float32)
    >>> threat.project(jnp.array([1.9, 1.0]), x)
    Array([1., 1.], dtype=float32)
    """
    in_ball = threat.replace(lower=-jnp.inf, upper=jnp.inf).project(x, x0)
    return threat._on_vectors(lambda ball, x: ball._clip(x), in_ball)
