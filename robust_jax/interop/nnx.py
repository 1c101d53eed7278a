"""Flax NNX modules as logit functions."""

import dataclasses
from typing import Any

from jax.tree_util import Partial

from robust_jax.core import checks, extras, origin
from robust_jax.core.layout import declared
from robust_jax.core.origin import Layout
from robust_jax.core.types import Array


@dataclasses.dataclass(frozen=True)
class _Apply:
    """A module's structure as a function of its state: equal structures are equal."""

    graphdef: Any

    def __call__(self, state: Any, x: Array) -> Array:
        from flax import nnx

        # A copy belongs to the trace that calls; the original would refuse it.
        return nnx.merge(self.graphdef, state, copy=True)(x)


def from_nnx(module: Any, *, layout: Layout | None = None) -> Partial:
    """An NNX module as one function of x, a pytree, in evaluation mode.

    Guarantees: the module itself stays as it is, mode included; later changes of it do
    not reach the function; new weights do not retrace.
    A module that needs a batch axis goes through `per_example`.

    Args:
        module: a `flax.nnx.Module` that is called with x alone.
        layout: of the images that it takes, "HWC" or "CHW"; see `channels_first`.
    Returns: what the module takes to logits.
    Raises: TypeError: what is no such module. ValueError: another layout.
    """
    nnx = extras.needed("flax.nnx", "flax", "interop.from_nnx")
    checks.instance("module", module, nnx.Module, "a module of flax.nnx")
    evaluation = nnx.clone(module)
    evaluation.eval()
    graphdef, state = nnx.split(evaluation)
    said = origin.said_of("NNX", type(module), layout)
    return declared(Partial(_Apply(graphdef), state), said)
