"""Modules as pure functions: weights, logits, and what one image costs."""

import dataclasses
import inspect
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from robust_jax.core import checks, flops as flops_of
from robust_jax.core.compiling import compiled
from robust_jax.core.origin import Origin
from robust_jax.core.types import Array, Key
from robust_jax.models.normalisation import BatchMode

Variables = Any  # A Flax tree of collections, such as {"params": {...}}.


@dataclasses.dataclass(frozen=True)
class Apply:
    """`module.apply` as a value: equal modules make equal functions.

    A bound method or a closure would be a new function every time, and a new function
    is a new trace.
    """

    module: nn.Module
    options: tuple[tuple[str, Any], ...] = ()
    origin: Origin | None = dataclasses.field(default=None, compare=False, repr=False)

    def __call__(self, variables: Variables, x: Array) -> Array:
        """Logits, shape [*B, K]."""
        return cast(Array, self.module.apply(variables, x, **dict(self.options)))


@dataclasses.dataclass(frozen=True)
class ApplyMode:
    """A module as a function of its variables and a batch mode; equal if equal.

    Modes: "eval" takes running statistics and no dropout; "frozen" the same with
    dropout; "batch" takes the statistics of this batch, and "batch+update" gives them
    back. Dropout needs a key. A net without batch statistics and dropout gives the same
    in all of them. One example at a time works under `vmap(axis_name="batch")`. The
    module's call takes `mode` if it has statistics, and `train` if it has dropout.
    """

    module: nn.Module

    def __call__(
        self,
        variables: Variables,
        images: Array,
        mode: BatchMode,
        key: Key | None = None,
    ) -> tuple[Array, Variables]:
        """Logits, shape [*B, K], and the variables, with new statistics if asked.

        Raises: ValueError: a module with statistics whose call knows no mode.
        """
        known = inspect.signature(type(self.module).__call__).parameters
        options: dict[str, Any] = {}
        if key is not None and mode != "eval" and "train" in known:
            options = {"train": True, "rngs": {"dropout": key}}
        if "mode" in known:
            options["mode"] = mode
        elif mode != "eval" and "batch_stats" in variables:
            raise ValueError(
                f'mode="{mode}" for {type(self.module).__name__}, whose call takes no '
                'mode; expected "eval"; normalise by models.BatchNorm, which takes one'
            )
        if mode != "batch+update" or "batch_stats" not in variables:
            logits = self.module.apply(variables, images, **options)
            return cast(Array, logits), variables
        logits, moved = self.module.apply(
            variables, images, mutable=["batch_stats"], **options
        )
        return cast(Array, logits), {**variables, **moved}


def init(module: nn.Module, key: Key, input_shape: tuple[int, ...]) -> Variables:
    """Random weights for a module, a tree of arrays.

    Compiled for this one call (host): under a transformation of your own, call
    `module.init` there.
    Guarantees: deterministic in `key` on one kind of machine.

    Args:
        module: a Linen module of one argument.
        key: the key of parameters that are drawn.
        input_shape: the shape *S of one example, such as (28, 28, 1).

    >>> net = rj.models.by_name("mlp", hidden=(), num_classes=3)
    >>> variables = rj.models.init(net, jax.random.key(0), (2, 2, 1))
    >>> jax.tree.map(jnp.shape, variables)
    {'params': {'Dense_0': {'bias': (3,), 'kernel': (4, 3)}}}
    """
    draw = compiled(lambda key: module.init(key, jnp.zeros(input_shape)), brief=True)
    return draw(key)


def logits_fn(module: nn.Module, variables: Variables, **options: Any) -> Partial:
    """A module and its weights as one function of x, a pytree.

    Guarantees: a jitted function that takes it as an argument is traced once per module
    configuration, whatever the weights; equal modules count as one.

    Args:
        module: a Linen module, e.g. of `by_name`.
        variables: its weights, of `init` or a checkpoint.
        options: constant keyword arguments of the module's call, such as train=False.
    Returns: examples [*B, *S] to logits [*B, K].
    Raises: ValueError: a module with attributes that cannot be compared, such as lists.

    >>> net = rj.models.by_name("mlp", hidden=(), num_classes=3)
    >>> variables = rj.models.init(net, jax.random.key(0), (2, 2, 1))
    >>> rj.models.logits_fn(net, variables)(jnp.ones((2, 2, 1))).shape
    (3,)
    """
    apply = Apply(module, tuple(sorted(options.items())))
    checks.hashable(f"module={type(module).__name__}", apply)
    return Partial(apply, variables)


def flops(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """The floating-point operations of one example's forward pass.

    Counts two for every multiply-add of convolutions and matrix products, padding
    included, and nothing else, as papers do; a loop counts as often as it runs. Nothing
    is computed.

    Args:
        module: a Linen module.
        input_shape: the shape *S of one example.
    Raises: ValueError: a loop without a fixed number of rounds.

    >>> net = rj.models.by_name("mlp", hidden=(), num_classes=3)
    >>> rj.models.flops(net, (2, 2, 1))
    24
    """
    x = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    variables = abstract_variables(module, input_shape)
    return flops_of.nominal(module.apply, variables, x)


def abstract_variables(
    module: nn.Module, input_shape: tuple[int, ...], **options: Any
) -> Variables:
    """Shapes and dtypes of what `init` gives; nothing is computed."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    x = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    return jax.eval_shape(lambda key, x: module.init(key, x, **options), key, x)


def expected_variables(
    source: str, module: nn.Module, input_shape: tuple[int, ...], **options: Any
) -> Variables:
    """As `abstract_variables`, for what a user gives; `source` begins the sentence.

    Raises: ValueError: a module that takes no such input.
    """
    try:
        return abstract_variables(module, input_shape, **options)
    except Exception as error:  # Flax and JAX raise many kinds for what cannot be.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{source}; {type(module).__name__} cannot be built for inputs of shape "
            f"{input_shape} ({reason:.200}); pass the shape of one example"
        ) from error
