"""How models of each kind are loaded: what `load_model` looks up in its table."""

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from absl import logging
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks, extras, layout, origin, outputs
from robust_jax.core.factory_names import named_function
from robust_jax.core.origin import Layout
from robust_jax.interop.modules import as_function


class Given(NamedTuple):
    """What is known beside the name of a model."""

    weights: Any  # A file, or None.
    images: NDArray[Any] | None  # [N, *S], as the net itself sees them.
    allow_factory: bool = False  # Of a checkpoint.

    def one(self, source: str) -> NDArray[Any]:
        """One example.

        Raises: ValueError: there is none.
        """
        if self.images is None:
            raise ValueError(
                f"model={source} is traced on an image; pass example= or images="
            )
        return self.images[0]


def checkpoint(path: str, given: Given) -> Partial:
    """A net of `models.save`."""
    from robust_jax import models  # Loads Flax.

    found = models.load(path, allow_factory=given.allow_factory)
    if origin.of(found.logits_fn) is not None:
        return found.logits_fn
    said = origin.Origin(f"robust_jax {type(found.module).__name__}")
    return layout.declared(found.logits_fn, said)


def python(name: str, given: Given) -> Any:
    """A function, or what it gives if "()" stands behind it."""
    is_call = name.endswith("()")
    found = named_function(name.removesuffix("()"), "model")
    model = as_function(_made(found, name) if is_call else found)
    outputs.check_callable("model", model)
    return model


def flax(name: str, given: Given) -> Partial:
    """A module of Linen or NNX with its weights."""
    extras.needed("flax", "flax", "a model of Flax")
    from robust_jax.interop import flax_weights  # Loads Flax.

    module = _made(named_function(name, "model"), name)
    return flax_weights.with_weights(f"flax:{name}", module, given)


def torch(name: str, given: Given) -> Partial:
    """A module of PyTorch, with the weights of a file if one is given."""
    extras.needed("torch", "torch", "a model of torch")
    module = _made(named_function(name, "model"), name)
    model = of_torch(f"torch:{name}", module, given)
    if given.weights is None:
        logging.warning(
            "model=torch:%s without weights is what its factory makes; pass "
            "weights=FILE if that is not trained",
            name,
        )
    return model


def of_torch(source: str, module: Any, given: Given) -> Partial:
    """A module of PyTorch with weights, as a function of JAX."""
    from robust_jax import interop

    library = extras.needed("torch", "torch", "a model of torch")
    if not isinstance(module, library.nn.Module):
        raise TypeError(
            f"model={source} gives {checks.shown(module)}; expected a torch.nn.Module"
        )
    example = given.one(source)
    if given.weights is not None:
        interop.load_torch_weights(module, given.weights)
    return interop.from_torch(module.eval(), example, images=given.images)


def onnx_layout(path: str) -> Layout | None:
    """Of the images that a graph takes."""
    from robust_jax.interop.onnx import files

    return files.layout_of(files.read(path))


def onnx(path: str, given: Given) -> Partial:
    """A graph of a file."""
    from robust_jax import interop

    return interop.from_onnx(path, images=given.images)


def robustbench(name: str, given: Given) -> Partial:
    """An architecture of the installed package with the weights of a file."""
    source, extra = f"robustbench:{name}", "pip install robustbench"
    try:
        zoo = extras.needed("robustbench.model_zoo.models", "torch", source)
    except ImportError as error:
        reason = str(error).partition("; run")[0]
        raise ImportError(
            f"{reason}; run {extra}, or name the architecture as torch:module:factory"
        ) from error
    if given.weights is None:
        raise ValueError(f"model={source} has no weights; pass weights=FILE")
    found = dict(_entries(zoo.model_dicts))
    known = {key for key in found if key == name or key.endswith(f"/{name}")}
    if not known:
        checks.known_name(
            "model of robustbench", name, {k.split("/")[-1] for k in found}
        )
    if len(known) > 1:
        raise ValueError(
            f"model={source} is there several times; expected one of "
            f"{', '.join(sorted(known))}"
        )
    return of_torch(source, _made(found[known.pop()]["model"], name), given)


def sklearn(path: str, given: Given) -> Partial:
    """A classifier of a file that skops wrote, which holds no code."""
    from robust_jax import interop

    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"model=sklearn:{path}: no such file")
    skops = extras.needed("skops.io", "skops", "a model of scikit-learn in a file")
    try:
        untrusted = skops.get_untrusted_types(file=path)
        estimator = None if untrusted else skops.load(path, trusted=[])
    except Exception as error:  # Of zipfile, JSON, skops and scikit-learn.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"model=sklearn:{path} cannot be read ({reason:.150}); expected a file of "
            "skops.io.dump (pickles are not read, as they could run code)"
        ) from error
    if untrusted:
        raise ValueError(
            f"model=sklearn:{path} holds types that are not trusted, "
            f"{', '.join(untrusted):.150}; nothing of it was run; save a model of "
            "scikit-learn's own types"
        )
    return interop.from_sklearn(estimator)


def _made(factory: Any, name: str) -> Any:
    """What a factory gives.

    Raises: ValueError: it fails, whatever it raises.
    """
    try:
        return factory()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"model={name}; calling it without arguments fails ({reason:.200}); "
            "expected a function or class that makes the net"
        ) from error


def _entries(tables: Any) -> Iterator[tuple[str, Any]]:
    """Names "cifar10/Linf/NAME" of a dict by data set, threat and name."""
    for dataset, by_threat in tables.items():
        for threat, by_name in by_threat.items():
            for name, entry in by_name.items():
                parts = (getattr(part, "value", part) for part in (dataset, threat))
                yield "/".join((*map(str, parts), name)), entry
