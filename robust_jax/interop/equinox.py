"""Equinox modules as logit functions."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import checks, extras, origin
from robust_jax.core.layout import declared
from robust_jax.core.origin import Layout
from robust_jax.core.types import Array


@dataclasses.dataclass(frozen=True)
class _Apply:
    """A module's structure as a function of its arrays; equal ones are equal."""

    structure: Any
    fixed: tuple[Any, ...]  # Leaves that are no arrays, such as an activation.
    is_stateful: bool

    def __call__(self, arrays: list[Any], x: Array) -> Array:
        rest = iter(arrays)
        leaves = [next(rest) if leaf is _ARRAY else leaf for leaf in self.fixed]
        module, state = jax.tree.unflatten(self.structure, leaves)
        return module(x, state)[0] if self.is_stateful else module(x)


class _Place:
    """Where an array was taken out."""


_ARRAY = _Place()


def from_equinox(
    module: Any, state: Any = None, *, layout: Layout | None = None
) -> Partial:
    """An Equinox module as one function of x, a pytree, in inference mode.

    Guarantees: the module stays as it is; new weights do not retrace.
    Edge cases: Equinox's convolutions take [C, H, W], which a module does not tell:
    say layout="CHW".

    Args:
        module: an `equinox.Module`, called with x; with (x, state) if there is a state,
            of which it gives logits and the next one.
        state: of layers that keep statistics, as `equinox.nn.make_with_state` gives it.
        layout: of the images that it takes; "HWC" or "CHW".
    Returns: one example to its logits.
    Raises: TypeError: what is no module. ValueError: layers that keep statistics, and
        no state; fields that cannot be compared, such as sets; another layout.

    >>> import equinox as eqx
    >>> linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    >>> rj.interop.from_equinox(linear)(images[0]).shape
    (3,)
    """
    eqx = extras.needed("equinox", "equinox", "interop.from_equinox")
    checks.instance("module", module, eqx.Module, "a module of equinox")
    said = origin.said_of("Equinox", type(module), layout)
    if state is None and _has_statistics(eqx, module):
        raise ValueError(
            f"module={type(module).__name__} has layers that keep statistics, such as "
            "BatchNorm; pass from_equinox(module, state), of equinox.nn.make_with_state"
        )
    whole = eqx.nn.inference_mode(module), state
    leaves, structure = jax.tree.flatten(whole)
    arrays = [leaf for leaf in leaves if _is_array(leaf)]
    fixed = tuple(_ARRAY if _is_array(leaf) else leaf for leaf in leaves)
    apply = _Apply(structure, fixed, state is not None)
    checks.hashable(f"module={type(module).__name__}", apply)
    return declared(Partial(apply, arrays), said)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _has_statistics(eqx: Any, module: Any) -> bool:
    def is_index(part: Any) -> bool:
        return isinstance(part, eqx.nn.StateIndex)

    return any(map(is_index, jax.tree.leaves(module, is_leaf=is_index)))
