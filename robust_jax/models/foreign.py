"""Nets that somebody's own function makes: made again, filled with weights, called.

They are called with batches [N, *S], as Flax's nets expect, in inference mode.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from jax.tree_util import Partial

from robust_jax.core import checks
from robust_jax.core.factory_names import named_function
from robust_jax.core.origin import Origin
from robust_jax.core.types import Array
from robust_jax.models import functional

Module = nn.Module | nnx.Module
_IMAGES = 8  # A net is asked for, to be known again.
_CLOSE = 1e-4  # Of logits, relative: another order of sums, not another net.


@dataclasses.dataclass(frozen=True)
class _Stateful:
    """An NNX module's structure as a function of its state."""

    graphdef: Any

    def __call__(self, state: Any, x: Array) -> Array:
        # A copy belongs to the trace that calls; the original would refuse it.
        return cast(Array, nnx.merge(self.graphdef, *state, copy=True)(x))


@dataclasses.dataclass(frozen=True)
class _AnyBatch:
    """A function of batches [N, *S], on any leading axes; equal functions are equal."""

    apply: Callable[[Any, Array], Array]
    input_rank: int
    origin: Origin | None = dataclasses.field(default=None, compare=False, repr=False)

    def __call__(self, weights: Any, x: Array) -> Array:
        lead = x.shape[: x.ndim - self.input_rank]
        logits = self.apply(weights, x.reshape(math.prod(lead), *x.shape[len(lead) :]))
        return logits.reshape(*lead, *logits.shape[1:])


def made(factory: str, config: Mapping[str, Any], argument: str) -> Module:
    """The net that a function "package.module:name" makes of a configuration.

    A function with an argument `rngs` that is not configured gets `nnx.Rngs(0)`.

    Args:
        factory: its name.
        config: its keyword arguments; a list becomes a tuple.
        argument: what to call `factory` in a sentence.
    Raises: ValueError: it fails, and how. TypeError: it makes something else.
        As `core.factory_names` does for what is no function.
    """
    function = named_function(factory, argument)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        # NNX's metaclass hides what its classes take.
        is_class = isinstance(function, type)
        called = cast(Any, function).__init__ if is_class else function
        if "rngs" in inspect.signature(called).parameters:
            given.setdefault("rngs", nnx.Rngs(0))
        module = function(**given)
    except Exception as error:  # Whatever foreign code raises.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"{argument}={factory}; called with config={checks.shown(dict(config))} it "
            f"fails ({reason:.200}); pass the arguments that it takes"
        ) from error
    wanted = "a module of flax.linen or flax.nnx"
    checks.instance(f"{argument}={factory}; what it makes", module, Module, wanted)
    return cast(Module, module)


def logits_fn(
    module: Module,
    variables: functional.Variables,
    input_rank: int,
    options: Mapping[str, Any],
    origin: Origin | None = None,
) -> Partial:
    """Examples [*B, *S] to logits [*B, K]; new weights do not recompile.

    Args:
        module: the net.
        variables: its weights; those of an NNX module are put into a copy.
        input_rank: axes of one example.
        options: constant keyword arguments of a Linen module's call.
        origin: what the function says of itself.
    """
    if isinstance(module, nn.Module):
        told = functional.logits_fn(module, variables, **options)
        return Partial(_AnyBatch(told.func, input_rank, origin), *told.args)
    copy = filled(nnx.clone(module), variables)
    copy.eval()
    apply = _Stateful(nnx.graphdef(copy))
    return Partial(_AnyBatch(apply, input_rank, origin), _states(copy))


def _states(module: nnx.Module) -> tuple[nnx.State, nnx.State]:
    """Of its random numbers, and of all else."""
    _, *states = cast(Any, nnx.split(module, nnx.RngState, ...))
    return states[0], states[1]


def state_of(module: nnx.Module) -> dict[Any, Any]:
    """An NNX module's arrays, but those of its random numbers, as nested dicts."""
    return nnx.to_pure_dict(_states(module)[-1])


def filled(module: nnx.Module, variables: functional.Variables) -> nnx.Module:
    """The module itself, with these arrays as its own."""
    state = _states(module)[-1]
    nnx.replace_by_pure_dict(state, pure(variables))
    nnx.update(module, state)
    return module


def pure(variables: functional.Variables) -> dict[Any, Any]:
    """NNX's state as nested dicts of arrays; such dicts as they are."""
    is_state = isinstance(variables, nnx.State)
    return nnx.to_pure_dict(variables) if is_state else dict(variables)


def named(variables: functional.Variables) -> dict[str, Any]:
    """Arrays by their place in nested dicts, as files name them."""
    flat = traverse_util.flatten_dict(pure(variables))
    return {"/".join(map(str, path)): array for path, array in flat.items()}


def like(
    fresh: functional.Variables, arrays: Mapping[str, Any]
) -> functional.Variables:
    """Named arrays as nested dicts, with the keys of others, which may be numbers."""
    paths = traverse_util.flatten_dict(pure(fresh))
    return traverse_util.unflatten_dict(
        {path: arrays["/".join(map(str, path))] for path in paths}
    )


def expected(
    source: str,
    module: Module,
    input_shape: tuple[int, ...],
    options: Mapping[str, Any],
) -> functional.Variables:
    """The net's variables, or their shapes and dtypes; `source` begins the sentence.

    Raises: ValueError: a net that takes no batch of such examples.
    """
    if isinstance(module, nnx.Module):
        return state_of(module)
    return functional.expected_variables(source, module, (1, *input_shape), **options)


def check_calls(
    source: str, net: Partial, again: Partial, input_shape: tuple[int, ...]
) -> None:
    """Raises ValueError unless both give the same logits [K] of an example.

    Args:
        source: begins the sentence.
        net: what is saved.
        again: what its factory makes, with the same weights.
        input_shape: of one example.
    """
    x = _images(input_shape)
    try:
        shape = jax.eval_shape(net, jnp.asarray(x)).shape
    except Exception as error:  # Flax and JAX raise many kinds for what cannot be.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{source}; it fails for a batch of shape {x.shape} ({reason:.200}); pass "
            "input_shape= of one example, and what its call needs as options="
        ) from error
    if len(shape) != 2 or len(x) != shape[0]:
        raise ValueError(
            f"{source}; it gives shape {shape} for a batch of shape {x.shape}; "
            "expected [N, K], logits of each example"
        )
    if net.func == again.func:
        return
    if not _are_close(*(np.asarray(jax.jit(f)(x)) for f in (net, again))):
        raise ValueError(
            f"{source}; what its factory makes of config gives other logits with the "
            "same weights; pass the config of this very net"
        )


def answers(net: Partial, input_shape: tuple[int, ...]) -> np.ndarray:
    """The logits by which a net is known again, [2, K]."""
    with jax.default_matmul_precision("float32"):
        return np.asarray(jax.jit(net)(_images(input_shape)[:2]), np.float64)


def check_answers(
    source: str, net: Partial, input_shape: tuple[int, ...], kept: Any
) -> None:
    """Raises ValueError unless a net gives the logits that it gave when it was saved.

    Args:
        source: begins the sentence.
        net: what its factory makes now, with its weights.
        input_shape: of one example.
        kept: what `answers` gave, as a file has it.
    """
    try:
        then = np.asarray(kept, np.float64)
    except ValueError:
        then = np.zeros(0)
    now = answers(net, input_shape)
    if then.shape != now.shape or not _are_close(then, now):
        raise ValueError(
            f"{source}; what the checkpoint's factory makes now gives other logits "
            "than when it was saved; take the code of then, or save the net anew"
        )


def _images(input_shape: tuple[int, ...]) -> np.ndarray:
    shape = (_IMAGES, *input_shape)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def _are_close(one: np.ndarray, other: np.ndarray) -> bool:
    close = _CLOSE * np.abs(one).max()
    return np.allclose(one, other, rtol=0, atol=close, equal_nan=True)
