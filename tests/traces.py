"""What a traced program does, for tests that compile nothing."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax


@contextlib.contextmanager
def strict():
    """64-bit numbers on, and no broadcasting from one rank to another."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("raise"):
        yield


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, those of inner programs too."""
    for equation in jaxpr.eqns:
        yield equation
        params = list(equation.params.values())
        for inner in jax.tree.leaves(params, is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def draws(closed: Any) -> set[int]:
    """The widths in bits of all random numbers that a program draws."""
    return {
        equation.params["bit_width"]
        for equation in equations(closed.jaxpr)
        if equation.primitive.name == "random_bits"
    }


def wide(tree: Any) -> list[str]:
    """Where a pytree has numbers of 64 bits."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(p) for p, leaf in leaves if "64" in leaf.dtype.name]
