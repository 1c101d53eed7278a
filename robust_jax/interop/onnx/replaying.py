"""A traced program run operation by operation, as jax2onnx writes it well."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex

_CALLS = ("pjit", "jit", "closed_call", "remat", "checkpoint")
_RULES = ("custom_jvp_call", "custom_vjp_call")


def operations(jaxpr: jex.Jaxpr) -> Iterator[str]:
    """The names of what a program computes."""
    for eqn in jaxpr.eqns:
        inner = _inner(eqn)
        if inner is None:
            yield eqn.primitive.name
        else:
            yield from operations(inner.jaxpr)


def replay(jaxpr: jex.Jaxpr, consts: Any, given: list[Any]) -> list[Any]:
    """Runs a program without its calls, so that jax2onnx sees operations.

    It has no batching rule for modules of Flax, which have become operations here; a
    ReLU is said by name, which it would write as a maximum.
    """
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        values, inner = [read(atom) for atom in eqn.invars], _inner(eqn)
        if inner is not None:
            found = replay(inner.jaxpr, inner.consts, values)
        elif eqn.primitive.name == "max" and _is_zero(eqn.invars[1]):
            found = [jax.nn.relu(values[0])]
        elif _is_window_of_one(eqn):
            found = [_pooled(eqn, values[0])]
        else:
            found = _alone(jaxpr, eqn, read)
        known |= dict(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _inner(eqn: jex.JaxprEqn) -> Any:
    """The program inside a call; rules of gradients are not asked for."""
    if eqn.primitive.name not in (*_CALLS, *_RULES):
        return None
    inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
    return inner if hasattr(inner, "consts") else jex.ClosedJaxpr(inner, ())


def _alone(jaxpr: jex.Jaxpr, eqn: jex.JaxprEqn, read: Any) -> list[Any]:
    """An equation as it is."""
    variables = [atom for atom in eqn.invars if not isinstance(atom, jex.Literal)]
    variables = list(dict.fromkeys(variables))
    alone = jaxpr.replace(
        constvars=[], invars=variables, outvars=eqn.outvars, eqns=[eqn]
    )
    run = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, ()))
    return run(*map(read, variables))


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, jex.Literal) and not np.any(atom.val)


def _is_window_of_one(eqn: jex.JaxprEqn) -> bool:
    """Whether it is pooling that some module gave a batch of one."""
    if eqn.primitive.name not in ("reduce_window_max", "reduce_window_sum"):
        return False
    aval: Any = eqn.invars[0].aval
    sides, lead = eqn.params["window_dimensions"], aval.shape[:1]
    return len(sides) == 4 and lead == (1,) and eqn.params["padding"][0] == (0, 0)


def _pooled(eqn: jex.JaxprEqn, x: Any) -> Any:
    """The same without that axis, whose place the batch will take."""
    params = dict(eqn.params)
    for name in (
        "window_dimensions",
        "window_strides",
        "padding",
        "base_dilation",
        "window_dilation",
    ):
        params[name] = tuple(params[name][1:])
    return eqn.primitive.bind(x[0], **params)[None]
