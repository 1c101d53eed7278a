"""What narrows a threat's box: coordinates that must not change, and a lattice."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core.types import Array, AttackResult, LogitsFn, Threat

NAMES = ("lower", "upper", "mask", "scale", "lattice")  # Fields that broadcast to x.
_HAIR = 1e-4  # Of a step of the lattice: float32 misses a value of an image by less.

_Tree = TypeVar("_Tree")


def given(threat: Threat) -> dict[str, Any]:
    """The fields of a threat that broadcast to an input, as far as it has them."""
    pairs = ((name, getattr(threat, name, None)) for name in NAMES)
    return {name: value for name, value in pairs if value is not None}


def shut(
    mask: Any, lower: Any, upper: Any, x: Any, numpy: Any = jnp
) -> tuple[Any, Any]:
    """The box that is x alone where a mask is zero."""
    is_free = mask != 0
    return numpy.where(is_free, lower, x), numpy.where(is_free, upper, x)


def snapped(lattice: Any, x: _Tree, x0: _Tree, numpy: Any = jnp) -> _Tree:
    """The values of a lattice next to x [*S] on the way to x0 [*S], which lies on it.

    Never further from x0 in any coordinate, so that balls and boxes keep them.
    Guarantees: the numbers that dividing integers by the steps of one unit gives.

    Args:
        lattice: the step, [] or what broadcasts to x; None for x itself.
    """
    if lattice is None:
        return x

    def one(x: Any, x0: Any) -> Any:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        steps = numpy.rint(1 / numpy.asarray(lattice, np.float32)).astype(wide)
        start = numpy.rint(x0 * steps)
        way = x * steps - start
        moved = numpy.trunc(way + _HAIR * numpy.sign(way))
        found = start + moved
        near = (found / steps if numpy is np else _divided(found, steps)).astype(
            x.dtype
        )
        return numpy.where(moved == 0, x0, near)  # Which may be an ulp beside it.

    return jax.tree.map(one, x, x0)


def _divided(number: Array, by: Array) -> Array:
    """The quotient of integers below 2^12, rounded right; XLA's division may not be."""
    first = number / by
    kind = jnp.finfo(first.dtype)
    word = jnp.dtype(f"uint{kind.bits}")
    low = word.type((1 << (kind.nmant // 2 + 1)) - 1)
    bits = jax.lax.bitcast_convert_type(first, word)
    head = jax.lax.bitcast_convert_type(bits & ~low, first.dtype)
    left = (number - head * by) - (first - head) * by  # Exact: the halves are short.
    return first + left / by


def stepping(step: Callable[..., Any]) -> Callable[..., Any]:
    """An attack's step whose model sees the lattice; the gradient is that of no step.

    The attack itself moves between the values, as small steps could not.
    """

    def on_lattice(logits_fn: LogitsFn, threat: Threat, state: Any) -> Any:
        lattice = getattr(threat, "lattice", None)
        if lattice is None:
            return step(logits_fn, threat, state)

        def seen(z: Array) -> Array:
            near, still = jax.lax.stop_gradient((snapped(lattice, z, state.x), z))
            return logits_fn(jax.tree.map(lambda n, a, b: n + (a - b), near, z, still))

        return step(seen, threat.replace(lattice=None), state)

    return on_lattice


def finishing(finish: Callable[..., AttackResult]) -> Callable[..., AttackResult]:
    """An attack's `finish` that gives what the model saw; see `stepping`."""

    def on_lattice(threat: Threat, state: Any) -> AttackResult:
        result, lattice = finish(threat, state), getattr(threat, "lattice", None)
        if lattice is None:
            return result
        x_adv = snapped(lattice, result.x_adv, state.x)
        distance = threat.distance(x_adv, state.x).astype(result.distance.dtype)
        return result._replace(x_adv=x_adv, distance=distance)

    return on_lattice
