"""Nets whose ReLUs are replaced by k-winners-take-all, whatever wrote them.

The net is traced to its jaxpr and computed again with another activation, so that a
net of Flax, Equinox or plain JAX need not be written twice.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from robust_jax.core.closures import traced_now
from robust_jax.core.types import Array, LogitsFn

Activation = Callable[[Array], Array]

_CALLS = ("jit", "pjit")  # What `jax.jit` inside of a net becomes.


def k_winners(x: Array, share: Array) -> Array:
    """The largest units of one example's layer as they are, zero for the others.

    Guarantees: at least one unit wins; shape and dtype kept; the gradient is that of
    the winners, as if the choice did not depend on x.
    Edge cases: units that tie with the last winner win too; winners may be negative.

    Args:
        x: all units of a layer, any shape.
        share: of the units that win, in (0, 1], shape [], may be traced.
    References: Xiao et al., "Enhancing adversarial defense by k-winners-take-all",
        ICLR 2020, Eq. 2. Differs from the authors' code in: nothing.
    """
    ordered = jnp.sort(x.ravel())
    count = jnp.clip(jnp.round(share * x.size), 1, x.size).astype(jnp.int32)
    least = jax.lax.stop_gradient(ordered[x.size - count])
    return jnp.where(x >= least, x, jnp.zeros_like(x))


def with_activation(logits_fn: LogitsFn, activation: Activation) -> LogitsFn:
    """The same net with another function in the place of every `jax.nn.relu`.

    Args:
        logits_fn: a net, of any library that computes by JAX.
        activation: a layer's units to the same shape, per call of the net.
    Returns: a function of what `logits_fn` takes, pure.
    Raises: ValueError: while tracing, for a net that calls no `jax.nn.relu`.
    """

    def replaced(x: Array) -> Array:
        closed, shape = traced_now(logits_fn, x)
        calls: list[int] = []

        def counted(units: Array) -> Array:
            calls.append(units.size)
            return activation(units)

        (logits,) = _replayed(closed, [x], counted)
        if not calls:
            raise ValueError(
                "the net has no ReLU to replace; expected calls of jax.nn.relu or "
                "flax.linen.relu; write its activation with one of them"
            )
        return logits.reshape(shape.shape)

    return replaced


def _replayed(
    closed: jex.ClosedJaxpr, args: Sequence[Any], activation: Activation
) -> list[Any]:
    """What the jaxpr computes from args, with the activation as its ReLU."""
    jaxpr = closed.jaxpr
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [value(atom) for atom in equation.invars]
        if _is_relu(equation):
            results = [activation(values[0])]
        elif equation.primitive.name in _CALLS:
            results = _replayed(equation.params["jaxpr"], values, activation)
        else:
            results = _computed(jaxpr, equation, values)
        known.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _computed(
    jaxpr: jex.Jaxpr, equation: jex.JaxprEqn, values: Sequence[Any]
) -> list[Any]:
    """One equation's results, custom derivatives kept, by JAX's own interpreter."""
    inputs = {
        atom: value
        for atom, value in zip(equation.invars, values, strict=True)
        if not isinstance(atom, jex.Literal)
    }
    alone = jaxpr.replace(
        constvars=[],
        invars=list(inputs),
        outvars=equation.outvars,
        eqns=[equation],
    )
    return jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, []))(*inputs.values())


def _is_relu(equation: jex.JaxprEqn) -> bool:
    """Whether an equation is a call of `jax.nn.relu`: a custom derivative around it."""
    if equation.primitive.name != "custom_jvp_call":
        return False
    inner = equation.params["call_jaxpr"].jaxpr.eqns
    return len(inner) == 1 and inner[0].params.get("name") == "relu"
