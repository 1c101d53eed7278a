"""Frozen dataclasses that are pytrees: what threats and goals are."""

import dataclasses
from typing import Any, Self, cast, dataclass_transform

import jax
import numpy as np
from jax.typing import ArrayLike

from robust_jax.core.brief import shape_of

_FEW = 8  # Numbers that are written out.


@dataclass_transform(frozen_default=True)
class Value:
    """A frozen dataclass that is a pytree, equal to its like by type and numbers.

    `class Goal(Value, static=("kind",))` registers its fields as leaves, but those that
    are static; one whose default is None is a leaf where it is given. Arrays are
    compared on the host; what is traced equals itself only. A value can be hashed if
    its leaves are Python's numbers.
    """

    def __init_subclass__(cls, static: tuple[str, ...] = ()) -> None:
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        fields = dataclasses.fields(cast(Any, cls))
        optional = [field.name for field in fields if field.default is None]
        fixed = {*optional, *static}
        always = [field.name for field in fields if field.name not in fixed]

        def flatten(value: Any) -> Any:
            given = [name for name in optional if getattr(value, name) is not None]
            keys = [(jax.tree_util.GetAttrKey(n), getattr(value, n)) for n in always]
            keys += [(jax.tree_util.GetAttrKey(n), getattr(value, n)) for n in given]
            return keys, (*(getattr(value, name) for name in static), *given)

        def unflatten(kept: Any, children: Any) -> Any:
            given = kept[len(static) :]
            values = *children, *kept[: len(static)]
            return cls(**dict(zip((*always, *given, *static), values, strict=True)))

        # Not `register_dataclass`: two of its classes have equal structures.
        jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)

    def replace(self, **fields: ArrayLike | None) -> Self:
        """The same with other values in some fields."""
        return dataclasses.replace(cast(Any, self), **fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        forms: list[Any] = [jax.tree.structure(value) for value in (self, other)]
        numbers = zip(jax.tree.leaves(self), jax.tree.leaves(other), strict=False)
        return bool(forms[0] == forms[1]) and all(_is_same(a, b) for a, b in numbers)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))  # Of arrays a TypeError.

    def __repr__(self) -> str:
        fields = vars(self).items()
        given = [f"{k}={_shown(v)}" for k, v in fields if v is not None]
        return f"{type(self).__name__}({', '.join(given)})"


def _shown(value: Any) -> str:
    """A field: of a large array type and shape alone."""
    return repr(value) if np.size(value) <= _FEW else shape_of(value)


def _is_same(a: ArrayLike, b: ArrayLike) -> bool:
    if a is b or isinstance(a, jax.core.Tracer) or isinstance(b, jax.core.Tracer):
        return a is b
    return np.array_equal(np.asarray(a), np.asarray(b))
