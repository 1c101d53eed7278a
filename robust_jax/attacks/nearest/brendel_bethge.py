"""Brendel & Bethge: along the boundary towards x, within a trust region."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.nearest import _linearised_boundary as boundary
from robust_jax.attacks.skeletons.minimum_norm import (
    Evaluated,
    NearState,
    box_ends,
    minimum_norm,
)
from robust_jax.attacks.skeletons.projected import Start, at_the_input
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, attack
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives
from robust_jax.threats.search import last_float

_HALVINGS = 20  # Of the search for how far towards x a step can go.
_SOFTEST = 2.0**-10  # L1 thresholds are at most 1,024: the box is about 1 wide.


@attack(
    paper="Brendel et al., NeurIPS 2019",
    norms=("linf", "l2", "l1"),
    finds=NEAREST,
    short={"steps": 498},
)
def brendel_bethge(
    steps: int = 1000,
    step_size: float = 0.03,
    last_step: float = 3e-5,
    momentum: float = 0.8,
    overshoot: float = 1.1,
    start: Start | None = None,
    gradient: Gradient | None = None,
) -> Attack:
    """The attack of Brendel & Bethge, which follows the boundary, in Linf, L2 and L1.

    A step takes the margin's gradient at the iterate, averaged over the last ones, as
    the normal of the boundary, and goes to the point nearest to x that lies on this
    plane, in the box and within a Euclidean trust radius of the iterate. If the plane
    is not within that radius, the step goes towards it as far as it may. The plane is
    put a little beyond the boundary, and the trust radius falls geometrically.
    Guarantees: every iterate is in the box and, up to rounding, within the trust radius
    of the one before; of all iterates the nearest that is adversarial and within eps is
    returned; deterministic in key; dtype kept; scaling the logits changes nothing.
    Edge cases: eps = inf finds the smallest distance whatever it is; eps = 0 returns x;
    until a success, the strongest iterate is kept; a zero gradient stays where it is.

    Args:
        steps: moves, each of 1 forward and 1 backward, >= 1.
        step_size: the first trust radius over the square root of the dimension, so that
            it is a root mean square of coordinates in pixel units, > 0.
        last_step: that of the last step, > 0.
        momentum: weight of the older gradients in the average, in [0, 1).
        overshoot: of what is missing to the boundary, how much a step aims at, and 2
            minus it from the other side, in [1, 2].
        start: (key, threat, x) -> the first iterate; the input by default.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: for arguments outside these ranges; when it is first run, for
        L0.
    References: Brendel, Rauber, Kuemmerer, Ustyuzhaninov & Bethge, "Accurate, reliable
        and fast robustness evaluation", NeurIPS 2019. Differs from the authors' code,
        which is in foolbox, in: it starts at x rather than at an adversarial point that
        another attack found and that is drawn to the boundary; the radius does not
        depend on the batch and falls at every step rather than 20 times by half; the
        step is exact to rounding, by nested bisection; gradients are averaged over
        steps.

    >>> rj.attacks.brendel_bethge(steps=100, step_size=0.1)
    brendel_bethge(steps=100, step_size=0.1, last_step=3e-05, momentum=0.8,
    overshoot=1.1)
    """
    checks.positive_integer("steps", steps)
    checks.positive_number("step_size", step_size)
    checks.positive_number("last_step", last_step)
    checks.holds("momentum", momentum, lambda v: 0 <= v < 1, "a weight in [0, 1)")
    checks.holds("overshoot", overshoot, lambda v: 1 <= v <= 2, "a factor in [1, 2]")
    first = at_the_input if start is None else start

    def begin(key: Key, threat: Threat, x: Array) -> tuple[Array, Array]:
        boundary.check_use("Brendel & Bethge", threat)
        return first(key, threat, x), jax.tree.map(jnp.zeros_like, x)

    def move(threat: Threat, state: NearState, at: Evaluated) -> tuple[Array, Array]:
        fresh = jnp.where(state.i == 0, 1, 1 - momentum)
        normal = jax.tree.map(
            lambda old, new: (old + fresh * (new - old)).astype(old.dtype),
            state.own,
            at.grad,
        )
        lead = at.value
        missing = -jnp.where(lead < 0, overshoot, 2 - overshoot) * lead
        size = sum(leaf.size for leaf in jax.tree.leaves(state.x))
        done = state.i / jnp.maximum(steps - 1, 1)
        radius = step_size * (last_step / step_size) ** done * size**0.5
        return nearest_in_trust(
            threat, state.x, state.iterate, normal, missing, radius
        ), normal

    return minimum_norm(objectives.margin, begin, move, steps=steps, gradient=gradient)


def nearest_in_trust(
    threat: Threat,
    x: Array,
    here: Array,
    normal: Array,
    missing: ArrayLike,
    radius: ArrayLike,
) -> Array:
    """The point nearest to x that the linearised boundary and a trust radius allow.

    Minimises threat.distance(point, x) over the box, where normal @ (point - here) =
    missing and |point - here|_2 <= radius. The point has the form clip(x + shrink(here
    + multiple * normal - x)), in which `shrink` is a clip, a scale or a soft threshold:
    the multiple reaches the plane, and the strongest shrinkage that the radius allows
    is found by bisection.
    Edge cases: where the plane is out of reach, the point towards it.

    Args:
        threat: Linf, L2 or L1.
        x, here: in the box, any pytree; normal: of the same shapes.
        missing: what is to be climbed, shape [].
        radius: shape [], > 0.
    """
    way, restore = _way(threat, x, here, normal, missing)
    squared = jnp.asarray(radius, way.x.dtype) ** 2

    def near(point: Array) -> Array:
        return jnp.sum((point - way.here) ** 2) <= squared

    straight, _ = _on_plane(way, lambda v: v, near)
    most = jnp.max(jnp.abs(straight - way.x))

    def shrunk(strength: Array) -> tuple[Array, Array]:
        shrink = _shrinkage(threat, strength, most)
        return _on_plane(way, shrink, lambda point: jnp.array(True))

    def halved(_: int, found: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, best = found
        strength = (low + high) / 2
        point, reached = shrunk(strength)
        fits = reached & near(point)
        return (
            jnp.where(fits, strength, low),
            jnp.where(fits, high, strength),
            jnp.where(fits, point, best),
        )

    ends = jnp.zeros((), way.x.dtype), jnp.ones((), way.x.dtype)
    _, _, best = jax.lax.fori_loop(0, _HALVINGS, halved, (*ends, straight))
    return restore(best)


class _Way(NamedTuple):
    """One step's problem, on vectors [d]."""

    x: Array
    here: Array
    normal: Array  # its largest entry is one
    missing: Array  # []
    low: Array
    high: Array


def _way(
    threat: Threat, x: Array, here: Array, normal: Array, missing: ArrayLike
) -> tuple[_Way, Callable[[Array], Array]]:
    low, high = box_ends(threat, x)
    flat, restore = ravel_pytree(x)
    wide = jnp.promote_types(flat.dtype, jnp.float32)
    rest = [ravel_pytree(tree)[0].astype(wide) for tree in (here, normal, low, high)]
    unit = jnp.max(jnp.abs(rest[1]))
    unit = jnp.where(unit > 0, unit, 1)
    steepness, climb = rest[1] / unit, jnp.asarray(missing, wide) / unit
    way = _Way(flat.astype(wide), rest[0], steepness, climb, *rest[2:])
    return way, lambda vector: restore(vector.astype(flat.dtype))


def _on_plane(
    way: _Way,
    shrink: Callable[[Array], Array],
    allowed: Callable[[Array], Array],
) -> tuple[Array, Array]:
    """The shrunk point on the plane, as far as it is allowed, and if it is reached."""

    def point(multiple: Array) -> Array:
        along = jnp.where(way.normal == 0, 0, multiple * way.normal)  # Not inf * 0.
        moved = way.x + shrink(way.here + along - way.x)
        return jnp.clip(moved, way.low, way.high)

    def lacking(point: Array) -> Array:
        return way.missing - jnp.sum(way.normal * (point - way.here))

    sign = jnp.sign(lacking(point(jnp.zeros_like(way.missing))))

    def short(multiple: Array) -> Array:
        ahead = point(sign * multiple)
        return (sign * lacking(ahead) > 0) & allowed(ahead) & (multiple >= 0)

    multiple = last_float(short, way.x.dtype)
    return point(sign * multiple), jnp.isfinite(multiple)


def _shrinkage(
    threat: Threat, strength: Array, most: Array
) -> Callable[[Array], Array]:
    """Of a displacement from x; the stronger, the nearer: 0 does nothing, 1 all."""
    left = 1 - strength
    if isinstance(threat, threats.Linf):
        return lambda v: jnp.clip(v, -left * most, left * most)
    if isinstance(threat, threats.L2):
        return lambda v: left * v
    threshold = strength / jnp.maximum(left, _SOFTEST)
    return lambda v: jnp.sign(v) * jnp.maximum(jnp.abs(v) - threshold, 0)
