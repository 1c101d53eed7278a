"""Nets on disk: one file that says which net it is and proves that it is whole (host).

The file is in the safetensors format (see `weights_file`), so that other tools read the
weights and nothing is ever executed. The header's `__metadata__` holds the net's name,
or that of the function that makes it, which is called with leave alone; its
configuration, the shape of one example, what the caller wants to remember, and a
SHA-256 of header and arrays.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial

from robust_jax.core import brief, checks
from robust_jax.core.origin import Layout, Origin
from robust_jax.core.records import PathLike, plain
from robust_jax.models import catalog, foreign, functional, weights_file
from robust_jax.models.fit import Arrays, check_fit


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A net as it comes back from disk.

    Args:
        module: the untrained module, equal to the one that was saved; of NNX, with its
            weights.
        variables: its weights, a tree of arrays.
        input_shape: the shape *S of one example.
        metadata: what the caller of `save` wanted to remember.
        origin: what `logits_fn` says of itself, of nets and weights from elsewhere.
        factory: of a net that is none of `models.by_name`, the function that makes it.
        options: constant keyword arguments of such a net's call.
    """

    module: nn.Module | nnx.Module
    variables: functional.Variables
    input_shape: tuple[int, ...]
    metadata: dict[str, Any]
    origin: Origin | None = None
    factory: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    __repr__ = brief.brief

    @property
    def logits_fn(self) -> Partial:
        """Examples [*B, *S] to logits [*B, K]; new weights do not recompile."""
        module, variables, rank = self.module, self.variables, len(self.input_shape)
        if self.factory is None and isinstance(module, nn.Module):
            net = functional.logits_fn(module, variables)
            return Partial(functional.Apply(module, origin=self.origin), *net.args)
        return foreign.logits_fn(module, variables, rank, self.options, self.origin)


def save(
    path: PathLike,
    module: nn.Module | nnx.Module,
    variables: functional.Variables | None = None,
    *,
    input_shape: tuple[int, ...],
    metadata: Mapping[str, Any] | None = None,
    factory: str | None = None,
    config: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Writes a net with its weights, whole or not at all.

    A net that is none of `models.by_name`, of Flax Linen or NNX, is written with the
    name of a function of yours that makes it, which `load` calls if it is allowed to:
    `save(path, net, variables, input_shape=(32, 32, 3), factory="mynets.resnet:make",
    config={"depth": 20})`. It is called with batches; NNX's in evaluation mode.
    Guarantees: `load` gives an equal module and bit-equal weights (without 64-bit
    numbers, float64 ones in float32 if they are equal); the bytes depend on the
    arguments only; an existing file stays as it was on any failure. What the factory
    makes of the configuration gives the same logits with these weights.

    Args:
        path: the file, by custom named `*.safetensors`, in an existing directory.
        module: the net.
        variables: its weights; those of an NNX module are its own by default.
        input_shape: the shape *S of one example, such as (28, 28, 1).
        metadata: JSON data to remember, such as the recipe and the accuracy; NumPy
            values and non-finite numbers are written as in records.
        factory: a function "package.module:name".
        config: its keyword arguments, JSON data; lists become tuples.
        options: constant keyword arguments of a Linen module's call, JSON data, such as
            {"train": False} where that is not the default.
    Raises: ValueError: a module that has no name, weights that do not fit it, metadata
        that JSON cannot hold; a factory that fails or makes another net.
        FileNotFoundError: no such directory. TypeError, ImportError: a factory that is
        no function, or is not found.
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    name = _name(module) if factory is None else None
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path={path}; expected an existing directory; make it")
    if variables is None and isinstance(module, nnx.Module):
        variables = foreign.state_of(module)
    checks.instance("variables", variables, Mapping, "a tree of arrays in dicts")
    checks.instance("input_shape", input_shape, tuple | list, "a tuple of sizes")
    for size in input_shape:
        checks.positive_integer("a size of input_shape", size)
    given = {"metadata": metadata, "config": config, "options": options}
    for said, value in given.items():
        if value is not None:
            checks.instance(said, value, Mapping, "a dict of JSON data")
    arrays, shape = _arrays(variables), tuple(input_shape)
    if factory is None:
        if config or options:
            raise ValueError("config= or options= without factory=; pass all or none")
        described = {"model": str(name), "config": _json(_config(module))}
        check_fit(f"module={checks.shown(module)}", module, shape, arrays)
    else:
        described = {"factory": factory, "config": _json(dict(config or {}))}
        described["options"] = _json(dict(options or {}))
        net = Checkpoint(
            module, variables, shape, {}, None, factory, dict(options or {})
        )
        _check_factory(net, described["config"], arrays)
        described["answers"] = _json(foreign.answers(net.logits_fn, shape))
    described["input_shape"] = _json(input_shape)
    described["metadata"] = _json(dict(metadata or {}))
    weights_file.write(path, weights_file.Content(described, arrays))


def load(path: PathLike, *, allow_factory: bool = False) -> Checkpoint:
    """Reads a net that `save` wrote.

    Guarantees: every byte was checked; nothing in the file is executed; no weight is
    another number, whatever its width. A module that a file names as the net's factory
    is imported, and its function called, if that is allowed, and only then; what that
    makes gives the logits that the net gave when it was saved.

    Args:
        path: the file.
        allow_factory: call the function that the file names. Allow it for files of
            people whom you trust, with code of theirs or yours.
    Raises: FileNotFoundError: no such file. ValueError: a file that is not such a
        checkpoint, is cut short, damaged or of a later version, whose weights do not
        fit the net it names, that names a factory without leave, or one that makes
            another net by now. TypeError,
        ImportError: a factory that is no function, or is not found.
    """
    checks.path("path", path)
    checks.flag("allow_factory", allow_factory)
    path = pathlib.Path(path)
    try:
        described, arrays = weights_file.read(path)
    except OSError as error:
        raise FileNotFoundError(
            f"path={path}; expected a checkpoint ({error.strerror}); check the "
            "name, or train a net first"
        ) from error
    net = _said(path, described, allow_factory)
    options = None if net.factory is None else net.options
    fresh = check_fit(f"path={path}", net.module, net.input_shape, arrays, options)
    placed = {name: _on_device(path, name, array) for name, array in arrays.items()}
    variables = foreign.like(fresh, placed)
    if isinstance(net.module, nnx.Module):
        foreign.filled(net.module, variables)
    net = dataclasses.replace(net, variables=variables)
    if net.factory is not None:
        kept = json.loads(described["answers"])
        foreign.check_answers(f"path={path}", net.logits_fn, net.input_shape, kept)
    return net


def _check_factory(net: Checkpoint, config: str, arrays: Arrays) -> None:
    """Raises unless a net's factory makes the very net again; see `save`."""
    module, factory = net.module, str(net.factory)
    source = f"module={checks.shown(module)}"
    made = foreign.made(factory, json.loads(config), "factory")
    if type(made) is not type(module):
        raise ValueError(
            f"{source}; factory={factory} makes a {type(made).__name__}; pass the "
            "function that makes this very net"
        )
    fresh = check_fit(source, made, net.input_shape, arrays, net.options)
    variables = foreign.like(fresh, foreign.named(net.variables))
    again = dataclasses.replace(net, module=made, variables=variables)
    foreign.check_calls(source, net.logits_fn, again.logits_fn, net.input_shape)


def _said(
    path: pathlib.Path, described: Mapping[str, str], allow_factory: bool
) -> Checkpoint:
    """What the texts of a file say, without weights.

    Raises: ValueError: texts that say something else, or of no net of this library; a
        net of a factory without leave.
    """
    kinds: dict[str, type] = {"config": dict, "input_shape": list, "metadata": dict}
    factory = described.get("factory")
    if factory is not None:
        kinds |= {"options": dict, "answers": list}
    said = {}
    for name, kind in kinds.items():
        try:
            said[name] = json.loads(described[name])
        except (KeyError, ValueError, RecursionError):
            said[name] = None
        if not isinstance(said[name], kind):
            raise ValueError(
                f"path={path}; the checkpoint's {name} is "
                f"{described.get(name)!r:.60}; expected a JSON {kind.__name__}; "
                "write the file again by models.save"
            )
    shape = said["input_shape"]
    if not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(
            f"path={path}; the checkpoint's input_shape is {shape!r:.60}; expected "
            "sizes >= 1; write the file again by models.save"
        )
    layout: Layout | None = "HWC" if len(shape) == 3 else None
    module, origin = _module(path, described, said["config"], allow_factory), None
    if factory is not None:
        origin = Origin(f"flax {factory}", layout)
    options = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in said.get("options", {}).items()
    }
    return Checkpoint(
        module, {}, tuple(shape), said["metadata"], origin, factory, options
    )


def _module(
    path: pathlib.Path,
    described: Mapping[str, str],
    config: dict[str, Any],
    allow_factory: bool,
) -> foreign.Module:
    factory = described.get("factory")
    if factory is not None and not allow_factory:
        raise ValueError(
            f"path={path}; the net is made by the function {checks.shown(factory)}, "
            "which would be imported and called; pass allow_factory=True if you trust "
            "whom the file is from"
        )
    if factory is not None:
        return foreign.made(factory, config, f"path={path}; factory")
    try:
        return catalog.by_name(described.get("model", ""), **config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"path={path}; {error}") from error


def _arrays(variables: functional.Variables) -> dict[str, np.ndarray]:
    flat = foreign.named(variables)
    arrays = {name: np.asarray(flat[name]) for name in sorted(flat)}
    return {
        name: array.astype(array.dtype.newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }


def _on_device(path: pathlib.Path, name: str, array: np.ndarray) -> jax.Array:
    placed = jnp.asarray(array)
    is_rounded = placed.dtype != array.dtype
    if is_rounded and not np.array_equal(placed, array, equal_nan=True):
        raise ValueError(
            f"path={path}; the weights {name} are {array.dtype}, which JAX would "
            "round; set jax_enable_x64"
        )
    return placed


def _name(module: foreign.Module) -> str:
    for name, network in catalog.NETWORKS.items():
        if type(module) is network:
            return name
    raise ValueError(
        f"module={type(module).__name__}; expected a net of models.by_name "
        f"({', '.join(catalog.names())}); save others with "
        "factory='package.module:function', which makes them"
    )


def _config(module: Any) -> dict[str, Any]:
    later = catalog.LATER.get(_name(module), ())
    return {
        field.name: getattr(module, field.name)
        for field in dataclasses.fields(module)
        if field.name not in ("parent", "name")
        and not (field.name in later and getattr(module, field.name) == field.default)
    }


def _json(value: Any) -> str:
    return json.dumps(plain(value), allow_nan=False)
