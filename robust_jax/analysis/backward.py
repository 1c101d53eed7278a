"""What goes back through a net: gradients, guided gradients, the deconvnet.

The three differ in what a ReLU lets through on the way back; the rest is the transpose
of the way forward. So any function of JAX is rewritten with another rule for its ReLUs,
and differentiated.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.extend import core as jex

from robust_jax.core import checks
from robust_jax.core.closures import traced_now
from robust_jax.core.types import Array

Rule = Literal["gradient", "guided", "deconvnet"]
RULES: tuple[Rule, ...] = ("gradient", "guided", "deconvnet")


def with_rule(function: Callable[..., Any], rule: str) -> Callable[..., Any]:
    """The same function, whose ReLUs and maxima go back by another rule.

    On its way back a ReLU lets a signal pass where its input was positive ("gradient"),
    where the signal itself is ("deconvnet"), or where both are ("guided"). Under the
    last two, a maximum over places, such as a pooling, returns the whole signal to the
    first place that attains it: its switch; a gradient is shared among equals.

    The result can be compiled and mapped as the function can. What `jax.vjp` of it
    returns holds the masks and switches of that input as arrays, and applies them to
    any signal.

    Args:
        function: of arrays and trees of them.
        rule: one of `RULES`.
    Raises: ValueError: no such rule; at the call, a ReLU inside a loop or a branch.
    References: Zeiler & Fergus, "Visualizing and understanding convolutional networks",
        ECCV 2014, Sec. 2.1; Springenberg et al., "Striving for simplicity: the all
        convolutional net", ICLR 2015 (workshop), Fig. 1. Differs from them in: a
        maximum returns its signal to the first place that attains it.
    """
    checks.known_name("rule", rule, RULES)
    if rule == "gradient":
        return function
    relu = _relu(gate_by_input=rule == "guided")

    def rewritten(*args: Any) -> Any:
        closed, shape = traced_now(function, *args)
        values = jax.tree.leaves(args)
        found = _evaluated(closed.jaxpr, closed.consts, values, relu)
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return rewritten


def project(
    features_fn: Callable[[Array], Array],
    images: Array,
    seeds: Callable[[Array], Array],
    rule: str = "deconvnet",
) -> Array:
    """Which pixels features come from, shape of the images.

    Args:
        features_fn: images [B, *S] -> features [B, *F], with the ReLU above if the
            layer has one.
        images: shape [B, *S].
        seeds: features [B, *F] -> the signal that is sent back, of their shape, such as
            `strongest`.
        rule: one of `RULES`.
    """
    found, back = jax.vjp(with_rule(features_fn, rule), images)
    return back(seeds(found))[0]


def strongest(channel: Array) -> Callable[[Array], Array]:
    """Seeds for `project`: of each map's channel the largest value, all else zero.

    Args:
        channel: of features [B, h, w, C], int, shape [B] or [].
    """

    def seeds(features: Array) -> Array:
        index = jnp.broadcast_to(channel, features.shape[:1])
        one = jax.nn.one_hot(index, features.shape[-1])[:, None, None, :]
        flat = jnp.where(one > 0, features, -jnp.inf).reshape(len(features), -1)
        place = jax.nn.one_hot(flat.argmax(axis=1), flat.shape[1])
        return place.reshape(features.shape) * features

    return seeds


def _relu(gate_by_input: bool) -> Callable[[Array], Array]:
    @jax.custom_vjp
    def relu(x: Array) -> Array:
        return jnp.maximum(x, 0)

    def forth(x: Array) -> tuple[Array, Array]:
        return jnp.maximum(x, 0), x > 0

    def back(was_positive: Array, signal: Array) -> tuple[Array]:
        passed = jnp.maximum(signal, 0)
        return (jnp.where(was_positive, passed, 0) if gate_by_input else passed,)

    relu.defvjp(forth, back)
    return relu


def _largest(axes: tuple[int, ...]) -> Callable[[Array], Array]:
    """The maximum over axes, with a switch to its first place."""

    @jax.custom_vjp
    def largest(x: Array) -> Array:
        return x.max(axes)

    def forth(x: Array) -> tuple[Array, Array]:
        last = tuple(range(-len(axes), 0))
        moved = jnp.moveaxis(x, axes, last)
        flat = moved.reshape(*moved.shape[: -len(axes)], -1)
        switch = jax.nn.one_hot(flat.argmax(-1), flat.shape[-1], dtype=x.dtype)
        return x.max(axes), jnp.moveaxis(switch.reshape(moved.shape), last, axes)

    def back(switch: Array, signal: Array) -> tuple[Array]:
        return (switch * jnp.expand_dims(signal, axes),)

    largest.defvjp(forth, back)
    return largest


def _evaluated(jaxpr, consts, values, relu):
    """Runs a traced program, ReLUs and maxima by our rules."""
    known = dict(zip(jaxpr.constvars, consts, strict=True))
    known |= dict(zip(jaxpr.invars, values, strict=True))

    def read(atom):
        return atom.val if isinstance(atom, jex.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        given = [read(atom) for atom in eqn.invars]
        inner = _inner(eqn)
        if _is_relu(eqn):
            found = [
                relu(
                    next(
                        g
                        for g, a in zip(given, eqn.invars, strict=True)
                        if not isinstance(a, jex.Literal)
                    )
                )
            ]
        elif eqn.primitive.name == "reduce_max":
            found = [_largest(eqn.params["axes"])(*given)]
        elif inner is not None:
            found = _evaluated(inner.jaxpr, inner.consts, given, relu)
        else:
            _check_no_relu(eqn)
            found = _as_it_is(jaxpr, eqn, given)
        known |= dict(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _as_it_is(jaxpr, eqn, given):
    """An equation by itself, with the derivative that JAX has for it."""
    pairs = zip(eqn.invars, given, strict=True)
    values = {atom: v for atom, v in pairs if not isinstance(atom, jex.Literal)}
    alone = jaxpr.replace(
        constvars=[], invars=list(values), outvars=eqn.outvars, eqns=[eqn]
    )
    run = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, ()))
    return run(*values.values())


def _check_no_relu(eqn):
    """Loops and branches run as they are: a ReLU in there would keep its gradient."""
    is_loop = eqn.primitive.name in ("scan", "while", "cond")
    if is_loop and any(map(_has_relu, _parts(eqn))):
        raise ValueError(
            f"function has a ReLU inside a {eqn.primitive.name}; expected none in "
            "loops and branches, where no other rule reaches it"
        )


def _has_relu(jaxpr):
    return any(_is_relu(e) or any(map(_has_relu, _parts(e))) for e in jaxpr.eqns)


def _parts(eqn):
    """All programs inside an equation."""
    values = [v if isinstance(v, tuple | list) else [v] for v in eqn.params.values()]
    inner = [getattr(part, "jaxpr", part) for value in values for part in value]
    return [part for part in inner if hasattr(part, "eqns")]


def _inner(eqn):
    """The program inside a compiled call; inside a custom rule only if it is a ReLU."""
    if eqn.primitive.name in ("pjit", "jit", "closed_call", "remat", "checkpoint"):
        inner = eqn.params["jaxpr"]
        if not hasattr(inner, "consts"):
            return jex.ClosedJaxpr(inner, ())
        return inner
    if eqn.primitive.name == "custom_jvp_call":
        inner = eqn.params["call_jaxpr"]
        return inner if all(map(_wraps_relu, inner.jaxpr.eqns)) else None
    return None


def _wraps_relu(eqn):
    inner = _inner(eqn)
    if inner is None:
        return _is_relu(eqn)
    return bool(inner.jaxpr.eqns) and all(map(_wraps_relu, inner.jaxpr.eqns))


def _is_relu(eqn):
    if eqn.primitive.name != "max":
        return False
    return any(
        isinstance(atom, jex.Literal) and jnp.ndim(atom.val) == 0 and atom.val == 0
        for atom in eqn.invars
    )
