"""Traced programs on disk: a later process neither traces nor lowers them (host).

An entry is `jax.export`'s form of a program, under a name that is a digest of all that
it depends on: the source of this library, the versions, the device, the settings of
JAX, the functions and shapes, and the model by the text of its value and gradient.
What has no such name, a function of the user's in an attack for one, is not kept.
"""

import functools
import hashlib
import importlib.metadata
import json
import pathlib
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from robust_jax.core import records, sealed
from robust_jax.core.factories import Product
from robust_jax.core.flops import Sketch

SETTINGS = (  # Of JAX, that change what a program computes.
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_threefry_partitionable",
)

_folder: pathlib.Path | None = None


class NamelessError(Exception):
    """Something that another process could not know to be the same."""


class Plan(NamedTuple):
    """A program to be made."""

    function: Callable[..., Any]  # of this library, at the top of a module
    arguments: tuple[Any, ...]  # shapes
    result: Any  # shapes
    donated: tuple[int, ...]  # positions of arguments
    of: Any  # all functions and containers that the arguments consist of, but the model
    model: str | None  # its name, see `model_name`; "" without one, None if nameless


def settings() -> tuple[str, ...]:
    """How JAX is configured, as far as programs depend on it."""
    return tuple(f"{name}={getattr(jax.config, name)}" for name in SETTINGS)


def keep_in(folder: records.PathLike | None) -> None:
    """Keeps programs in a folder from now on, which is made; None for nowhere.

    Raises: ValueError: a folder that cannot be made or written.
    """
    global _folder
    _folder = None if folder is None else records.prepare_out_dir(folder)


def kept(plan: Plan) -> tuple[Callable[..., Any], Sketch | None]:
    """A plan's function, by its kept program where there is one; else it is kept now.

    Returns: the function, and of a kept program how large it is.

    Guarantees: the same numbers with a program that was kept before and one that is
    kept now; a damaged entry, or one of other versions, is made again.
    """
    if _folder is None or plan.model is None:
        return plan.function, None
    try:
        name = _name(plan)
    except NamelessError:
        return plan.function, None
    entry = _read(_folder / name)
    if entry is None:
        try:
            entry = _exported(plan)
        except (NotImplementedError, ValueError):  # As of a kernel of the user's own.
            return plan.function, None
        _write(_folder / name, *entry)
    exported, sketch = entry
    structure = jax.tree.structure(plan.result)

    @functools.wraps(plan.function)
    def through(*arguments: Any) -> Any:
        leaves = exported.call(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(structure, leaves)

    return through, sketch


def model_name(model: Any, batch: Any) -> str | None:
    """The text of a model's values and gradients, whatever the weights; its digest.

    Of a whole batch, as the programs ask it, and both of the answers alone and of those
    that a gradient comes with: rules of differentiation and of batches may differ.

    Args:
        model: one example to logits, weights as arguments (a `Partial`); shapes.
        batch: the shape of a tile of examples.
    Returns: None if it has no gradient or calls back to the host, or nothing is kept.
    """
    if _folder is None:
        return None
    try:
        return _model_name(jax.tree.structure((model, batch)), *_shapes((model, batch)))
    except NamelessError:
        return None


@functools.lru_cache(maxsize=32)
def _model_name(structure: Any, *leaves: Any) -> str:
    model, batch = jax.tree.unflatten(structure, [leaf.struct() for leaf in leaves])

    def asked(model: Any, x: Any) -> Any:
        logits, back = jax.vjp(lambda x: model(x), x)
        return model(x), logits, back(jnp.ones_like(logits))

    try:
        text = jax.jit(jax.vmap(asked, (None, 0))).lower(model, batch).as_text()
    except (NotImplementedError, TypeError, ValueError) as error:  # It has no gradient.
        raise NamelessError(str(error)) from error
    if "callback" in text:
        raise NamelessError("a callback")
    return hashlib.sha256(text.encode()).hexdigest()


class _Shape(NamedTuple):
    """A leaf's shape, hashable."""

    shape: tuple[int, ...]
    dtype: Any
    weak: bool

    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.shape, self.dtype, weak_type=self.weak)


def _shapes(tree: Any) -> list[_Shape]:
    leaves = jax.tree.leaves(tree)
    return [
        _Shape(a.shape, a.dtype, bool(getattr(a, "weak_type", False))) for a in leaves
    ]


def is_of_this_library(value: Any) -> bool:
    """Whether all functions and containers in a value are, but classes' instances."""
    try:
        _text(value)
    except NamelessError:
        return False
    return True


def surroundings(devices: Sequence[Any] | None = None) -> list[str]:
    """What every program depends on: source, versions, kinds of devices, settings.

    Args:
        devices: where the programs run; those of the default back end if None.
    """
    used = jax.local_devices()[:1] if devices is None else devices
    kinds = {f"{device.platform} {device.device_kind}" for device in used}
    return [_code(), *sorted(kinds), *settings()]


def _name(plan: Plan) -> str:
    parts = [
        *surroundings(),
        _called(plan.function),
        repr(plan.donated),
        repr(_shapes(plan.arguments)),
        repr(_shapes(plan.result)),
        str(plan.model),
        _text(plan.of),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _text(value: Any) -> str:
    """Which functions and containers a value is made of.

    Raises: NamelessError: one that is not of this library.
    """
    if isinstance(value, Product):
        structure = value.structure
        given = structure.arguments(value.numbers).arguments
        if "draw" in given:  # A version of a random net is not what its name says.
            raise NamelessError(repr(value))
        return f"{_called(structure.function)}{_text(dict(given))}"
    if isinstance(value, jax.ShapeDtypeStruct | jax.Array | np.ndarray):
        return "array"
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    if isinstance(value, dict):
        return repr({k: _text(v) for k, v in value.items()})
    if isinstance(value, tuple | list):
        kind = "" if type(value) in (tuple, list) else _called(type(value))
        return f"{kind}({', '.join(_text(v) for v in value)})"
    if isinstance(value, type | types.FunctionType):
        return _called(value)
    return f"{_called(type(value))}{jax.tree.structure(value)}"


def _called(function: Any) -> str:
    """The address of a function or class of this library."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", "<")
    if not module.startswith("robust_jax.") or "<" in name:
        raise NamelessError(repr(function))
    return f"{module}.{name}"


@functools.cache
def _code() -> str:
    """A digest of this library's source, and the versions of what it is built on."""
    total = hashlib.sha256()
    root = pathlib.Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    built_on = ("jax", "jaxlib", "numpy", "optax")
    versions = [importlib.metadata.version(name) for name in built_on]
    return " ".join([total.hexdigest(), *versions])


def _exported(plan: Plan) -> tuple[jax.export.Exported, Sketch]:
    leaves, structure = jax.tree.flatten(plan.arguments)

    def flat(*leaves: Any) -> Any:
        arguments = jax.tree.unflatten(structure, leaves)
        return tuple(jax.tree.leaves(plan.function(*arguments)))

    positions = tuple(_positions(plan))
    jitted = jax.jit(flat, donate_argnums=positions, keep_unused=True)
    sketch = Sketch.of(jitted.trace(*leaves).jaxpr.jaxpr)
    return jax.export.export(jitted)(*leaves), sketch


def _positions(plan: Plan) -> Iterator[int]:
    """Which leaves of the arguments are donated."""
    at = 0
    for number, argument in enumerate(plan.arguments):
        count = len(jax.tree.leaves(argument))
        if number in plan.donated:
            yield from range(at, at + count)
        at += count


def _read(path: pathlib.Path) -> tuple[jax.export.Exported, Sketch] | None:
    entry = sealed.read(path)
    if entry is None:
        return None
    sketch, _, program = entry.partition(b"\n")
    flops, equations = json.loads(sketch)
    exported = jax.export.deserialize(bytearray(program))
    return exported, Sketch(flops, equations, kept=True)


def _write(path: pathlib.Path, exported: jax.export.Exported, sketch: Sketch) -> None:
    head = json.dumps(sketch[:2]).encode() + b"\n"
    sealed.write(path, head + bytes(exported.serialize()))
