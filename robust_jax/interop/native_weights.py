"""Weights by PyTorch's names, stripped of wrappers and put into a net of ours."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from robust_jax.core import checks
from robust_jax.interop import native_names
from robust_jax.interop.torch_files import fitted, read_state_dict
from robust_jax.models import catalog, functional
from robust_jax.models.networks import Classifier

State = dict[str, np.ndarray]

_NORMALISATION = {  # What wrappers call them.
    "mean": ("mean", "mu", "new_mean"),
    "std": ("std", "sigma", "new_std"),
}
_UNUSED = ("sub_block1",)  # A stage of TRADES' code that its net never computes.
_CHOICES = {  # What weights do not say.
    "layout": "'rice' (shortcuts see activated images) or 'wong' (they do not)",
    "activation": "'relu' or 'silu'",
    "mean": "0 and std=1 of a net that does not normalise, or one value per channel",
    "std": "1 of a net that does not normalise, or one value per channel",
}
_AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # PyTorch's that ours are, by rank


def named(weights: Any) -> tuple[str, State]:
    """Weights by name, and what to call them in a sentence."""
    if hasattr(weights, "state_dict"):
        weights = weights.state_dict()
    if not isinstance(weights, Mapping):
        state = read_state_dict(weights)
        return f"weights {pathlib.Path(weights).name}", state
    state = {}
    for name, value in weights.items():
        checks.instance("a name of weights", name, str, "a text")
        if hasattr(value, "detach"):  # A tensor, perhaps with a gradient, on a device.
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        state[name] = np.asarray(value)
    return f"weights of {len(state)} arrays", state


def without_wrappers(source: str, state: State) -> tuple[State, dict[str, Any]]:
    """Weights by the names that the net itself has, and a wrapper's mean and std."""
    parts = {
        tuple(name.split(".")): array
        for name, array in state.items()
        if "attacker" not in name.split(".") and name != "n_averaged"
    }
    normalisation = {}
    for attribute, words in _NORMALISATION.items():
        found = [path for path in parts if path[-1] in words]
        arrays = [np.asarray(parts.pop(path), np.float64).ravel() for path in found]
        if any(not np.array_equal(one, arrays[0]) for one in arrays):
            names = " and ".join(".".join(path) for path in found[:2])
            raise ValueError(f"{source}; {names} differ; pass the weights of one net")
        if arrays:
            normalisation[attribute] = tuple(arrays[0].tolist())
    while parts and len({path[0] for path in parts}) == 1 and min(map(len, parts)) > 1:
        parts = {path[1:]: array for path, array in parts.items()}
    state = {
        ".".join(path): array for path, array in parts.items() if path[0] not in _UNUSED
    }
    return state, normalisation


def normalising(
    source: str, module: Classifier, normalisation: dict[str, Any]
) -> Classifier:
    """The module with the file's mean and std, where it has none of its own."""
    native_names.names_of(module)
    for attribute, value in normalisation.items():
        own = getattr(module, attribute)
        is_usual = own == getattr(Classifier, attribute)
        if not is_usual and not (len(own) == len(value) and np.allclose(own, value)):
            raise ValueError(
                f"module={checks.shown(module)}; its {attribute} is {own}, but that of "
                f"{source} is {value}; leave it out"
            )
    return _normalised(source, module.clone(**normalisation))


def recognised(
    source: str, name: str | None, state: State, given: dict[str, Any]
) -> Classifier:
    """The net that weights fit, with what they do not say.

    Raises: ValueError: another net than the named one, or none; something that they do
        not say, or that contradicts them.
    """
    if name is not None:
        checks.known_name("model", name, catalog.NETWORKS)
    fits = native_names.recognised(_shapes(state))
    if fits is None:
        first = next(iter(state), None)
        raise ValueError(
            f"{source}; names and shapes of layers (the first is {first!r}) are those "
            "of no net that this library has; take interop.from_torch with the module"
        )
    found, said = fits
    if name not in (None, found):
        raise ValueError(f"module={name!r}; {source} are those of {_call(*fits)}")
    for attribute, value in said.items():
        if given.get(attribute, value) != value:
            raise ValueError(
                f"{attribute}={checks.shown(given[attribute])}; {source} are those of "
                f"{_call(*fits)}; leave it out"
            )
    given = {k: _tuple(v) if k in _NORMALISATION else v for k, v in given.items()}
    net = catalog.by_name(found, **said | given)
    for attribute in _unsaid(found, said):
        if attribute not in given:
            raise ValueError(
                f"{source}; they do not say {attribute} of {_call(*fits)}; pass "
                f"{attribute}={_CHOICES[attribute]}"
            )
    return _normalised(source, net)


def _unsaid(name: str, said: Mapping[str, Any]) -> list[str]:
    """What neither names nor shapes of weights say of a net."""
    if said.get("layout") == "deepmind":
        return ["activation", *_NORMALISATION]
    return [*(["layout"] if name == "preact_resnet18" else []), *_NORMALISATION]


def _tuple(value: Any) -> tuple[Any, ...]:
    """One value, or some, as the module keeps them."""
    values = np.ravel(value).tolist() if hasattr(value, "shape") else value
    values = values if isinstance(values, tuple | list) else (values,)
    return tuple(float(v) if checks.is_number(v) else v for v in values)


def _shapes(state: State) -> native_names.Shapes:
    return {name: array.shape for name, array in state.items()}


def _call(name: str, config: Mapping[str, Any]) -> str:
    """A net as a user would write it."""
    given = "".join(f", {key}={value!r}" for key, value in config.items())
    return f"models.by_name({name!r}{given})"


def _normalised(source: str, net: Classifier) -> Classifier:
    """The net.

    Raises: ValueError: a mean or std that is none of pixels in [0, 1].
    """
    for value in net.std:
        checks.positive_number("std", value)
    for value in net.mean:
        wanted = f"one in [0, 1] for {source}; divide mean and std by 255"
        checks.holds("mean", value, lambda v: 0 <= v <= 1, wanted)
    return net


def variables_of(
    source: str, net: Classifier, state: State, input_shape: tuple[int, ...]
) -> functional.Variables:
    """The net's variables out of PyTorch's weights.

    Raises: ValueError: weights that do not fit; the first that differs is named.
    """
    fresh = functional.expected_variables(source, net, input_shape)
    fresh = traverse_util.flatten_dict(fresh)
    names = native_names.torch_names(net, fresh)
    try:
        state = fitted(state, names.values())
    except ValueError as error:
        fits = native_names.recognised(_shapes(state))
        hint = f"; they fit {_call(*fits)}" if fits else ""
        raise ValueError(f"{source}; {error}{hint}") from error
    arrays = {}
    for path, name in names.items():
        array, shape = state[name], fresh[path].shape
        expected = tuple(shape[axis] for axis in np.argsort(_AXES[len(shape)]))
        if array.shape != expected:
            raise ValueError(
                f"{source}; {name!r} has shape {array.shape}; expected {expected} for "
                f"{type(net).__name__} on images [H, W, C] = {list(input_shape)}"
            )
        arrays[path] = _placed(f"{source}; {name!r}", array).transpose(
            _AXES[len(shape)]
        )
    return traverse_util.unflatten_dict(arrays)


def _placed(name: str, array: np.ndarray) -> jax.Array:
    if not checks.is_floating(array.dtype):
        raise ValueError(f"{name} has numbers of type {array.dtype}; expected floats")
    wide = array if array.dtype.itemsize >= 4 else array.astype(np.float32)
    if not np.isfinite(wide).all():
        raise ValueError(f"{name} has values that are not finite; train the net again")
    return jnp.asarray(wide)
