"""Modules of PyTorch as functions of JAX, gradients included, by torchax."""

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core.origin import Layout, Origin
from robust_jax.core.types import Array
from robust_jax.interop import (
    torch_original,
    torch_parity,
    torch_structure,
    torchax_reading,
)
from robust_jax.interop.torch_original import Original, reason_of

_INSTEAD = "take interop.wrap_torch(module), which runs it in PyTorch"
_VALUES = (
    jax.errors.ConcretizationTypeError,  # Branches on values, and lengths of loops.
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


class _Structure:
    """What tells modules apart; compared in full only where the hashes agree."""

    def __init__(self, value: Hashable) -> None:
        self._value, self._hash = value, hash(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Structure) or self._hash != other._hash:
            return False
        return self is other or self._value == other._value

    def __hash__(self) -> int:
        return self._hash


@dataclasses.dataclass(frozen=True)
class Apply:
    """A module's structure as a function of its weights and one example."""

    origin: Origin
    structure: _Structure = dataclasses.field(repr=False)
    is_channels_last: bool
    module: Any = dataclasses.field(compare=False, repr=False)  # without weights

    def __call__(self, weights: Mapping[str, Any], x: Array) -> Array:
        logits = self.batch({k: jnp.asarray(v) for k, v in weights.items()}, x)[0]
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def batch(self, weights: dict[str, Any], x: Array) -> Any:
        """The module's own answer for one example, [1, K]."""
        if self.is_channels_last:
            x = jnp.moveaxis(x, -1, -3)
        floats = (
            w.dtype for w in weights.values() if jnp.isdtype(w.dtype, "real floating")
        )
        batch = jnp.asarray(x, next(floats, None))[None]
        return torchax_reading.call(self.module, weights, batch)


def from_torch(
    module: Any, example: Any, *, layout: Layout = "CHW", images: Any = None
) -> Partial:
    """A module of PyTorch in evaluation mode as one function of x, with its gradient.

    torchax reads it once; from then on it is JAX's, and PyTorch is not asked again.
    How close the two are is measured at once, on 64 images, and kept as
    `origin.parity`: logits, classes, and the gradients of the margin between the two
    largest logits, in float64. Of large nets gradients are compared in float32, on
    fewer images: there it is the median over images, as one ReLU at its kink makes
    another gradient.
    Guarantees: the module stays as it is, and so does the rest of PyTorch. The weights
    are copied, by name as in `state_dict`, with buffers; of modules of the same
    structure new ones do not retrace.
    Edge cases: weights in half precision stay so, and logits are float32; a module in
    float64 counts in what JAX is configured to.

    Args:
        module: in evaluation mode; examples must not depend on each other.
        example: one example, or a batch of them: images of rank 3 are one, and
            otherwise what the module takes as it is is a batch.
        layout: of images, of example and of `images` too: "CHW" as PyTorch has them,
            or "HWC" for a function of images with channels last.
        images: on which both are compared, [N, *S], the first 64; by default random
            ones in [0, 1].
    Returns: one example [*S] to its logits [K].
    Raises: TypeError, ValueError: what is no such module; what torchax cannot read.
        ImportError: PyTorch or torchax is missing.
    """
    original = torch_original.of(module)
    apply, one = read(original, module, example, layout)
    on = torch_parity.chosen(images, one.shape)
    found = torch_parity.measured(apply, original, on)
    origin = dataclasses.replace(apply.origin, parity=found)
    weights = {name: jnp.asarray(w) for name, w in original.arrays().items()}
    return Partial(dataclasses.replace(apply, origin=origin), weights)


def read(
    original: Original, module: Any, example: Any, layout: Layout
) -> tuple[Apply, np.ndarray]:
    """A module as a function, not compared yet, and an example as it takes it.

    Raises: as `from_torch`.
    """
    first = torch_original.channels_first(example, layout)
    torchax_reading.libraries()
    is_last = layout == "HWC"
    one = torch_original.one_example(original, first)
    apply = Apply(
        Origin(f"torch {original.name}", layout if one.ndim == 3 else None),
        structured(module, layout),
        is_last,
        original.empty,
    )
    one = np.moveaxis(one, 0, -1) if is_last else one
    _check_trace(apply, original, one)
    return apply, one


def structured(module: Any, layout: Layout) -> _Structure:
    """What tells a module from others."""
    inner = torch_structure.plain(module)
    return _Structure((torch_structure.structure_of(inner), layout))


def _check_trace(apply: Apply, original: Original, one: np.ndarray) -> None:
    """Raises ValueError for a module that torchax cannot read, and why."""
    weights = {k: jnp.asarray(v) for k, v in original.arrays().items()}
    try:
        jax.eval_shape(apply, weights, one)
    except torchax_reading.Draws as error:
        raise ValueError(
            f"module={original.name} draws random numbers in evaluation mode, such as "
            "dropout that stays active; expected one that gives the same each time"
        ) from error
    except _VALUES as error:
        raise ValueError(
            f"module={original.name} decides by values of its input, which a compiled "
            f"program cannot; {_INSTEAD}"
        ) from error
    except Exception as error:  # Whatever torchax raises.
        if "mixed math" in str(error):
            raise ValueError(
                f"module={original.name} holds tensors that are no weights, or makes "
                "them on a device of its own; register them by register_buffer, or "
                f"{_INSTEAD}"
            ) from error
        raise ValueError(
            f"module={original.name}: torchax cannot read it ({reason_of(error)}); "
            f"{_INSTEAD}"
        ) from error
