"""Linen nets of a user's own as training calls nets: batch modes, single examples."""

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from robust_jax.core.factory_names import named_function
from robust_jax.core.types import Array
from robust_jax.models import foreign, functional
from robust_jax.models.normalisation import BatchMode

# What modules call the flag that switches training on or off, and its inference value.
INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


class UserNet(nn.Module):
    """A Linen net that takes batches, with the call that `ApplyMode` makes.

    Flags of its call, such as `train`, are those of inference but in the loss, where
    dropout and the statistics of batches are on.

    Args:
        net: the module.
        factory: the function that made it, "package.module:name".
        config: its keyword arguments.
        flags: of the module's call, with their values in inference.
        input_rank: axes of one example.
        has_statistics: whether it keeps running statistics.
    """

    net: nn.Module
    factory: str
    config: tuple[tuple[str, Any], ...]
    flags: tuple[tuple[str, bool], ...]
    input_rank: int
    has_statistics: bool

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, mode: BatchMode = "eval"
    ) -> Array:
        """Logits, shape [*B, K], of one example or of a batch.

        Raises: ValueError: a mode that a net with Flax's own statistics cannot have.
        """
        if self.has_statistics and mode in ("batch", "frozen"):
            raise ValueError(
                f'mode="{mode}" for {self.factory}, whose statistics are Flax\'s own; '
                'expected "eval" or "batch+update"; normalise by models.BatchNorm'
            )
        learns = train or (self.has_statistics and mode == "batch+update")
        options = {name: value ^ learns for name, value in self.flags}
        is_single = x.ndim == self.input_rank
        logits = self.net(x[None] if is_single else x, **options)
        return logits[0] if is_single else logits


def user_net(
    factory: str, config: Mapping[str, Any], num_classes: int, shape: tuple[int, ...]
) -> UserNet:
    """The net that a function of a user's makes, for training.

    Args:
        factory: its name, "package.module:name".
        config: its keyword arguments.
        num_classes: K, which it is called with if it takes `num_classes`.
        shape: of one example.
    Raises: ValueError: a net of NNX; one that takes no batches [N, *S], or does not
        give [N, K]. As `models.load` does for a factory that fails or is not found.
    """
    found = named_function(factory, "module")
    given = dict(config)
    if "num_classes" in inspect.signature(found).parameters:
        given.setdefault("num_classes", num_classes)
    net = foreign.made(factory, given, "module")
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"module={factory} is an NNX module; expected one of Linen, which recipes "
            "train; train.adversarial_loss makes a loop of your own robust"
        )
    known = inspect.signature(type(net).__call__).parameters
    flags = tuple((name, value) for name, value in INFERENCE.items() if name in known)
    options: dict[str, Any] = dict(flags)
    key = jax.eval_shape(lambda: jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    try:
        logits, variables = jax.eval_shape(
            lambda key, x: net.init_with_output(key, x, **options), key, images
        )
    except Exception as error:  # Whatever a layer raises.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"module={factory} cannot take two images of shape {shape} ({said:.200})"
        ) from error
    if getattr(logits, "shape", None) != (2, num_classes):
        raise ValueError(
            f"module={factory} gives outputs of shape {getattr(logits, 'shape', None)} "
            f"for two images; expected (2, {num_classes}), a logit for each class"
        )
    statistics = "batch_stats" in variables
    pairs = tuple(sorted(given.items()))
    return UserNet(net, factory, pairs, flags, len(shape), statistics)


def identity_of(net: nn.Module, shape: tuple[int, ...]) -> dict[str, str]:
    """What a net computes, weights apart, by a digest of its programs.

    Nothing of the library's own nets, which their names and numbers tell; the code of a
    user's may be another one by tomorrow.

    Args:
        net: of a recipe.
        shape: of one example.
    """
    if not isinstance(net, UserNet):
        return {}
    variables = functional.abstract_variables(net, shape)
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def text(train: bool, mode: BatchMode) -> str:
        def call(variables: Any, x: Array, key: Any) -> Any:
            how: dict[str, Any] = {"train": train, "mode": mode}
            rngs = {"dropout": key}
            return net.apply(variables, x, mutable=["batch_stats"], rngs=rngs, **how)

        return jax.jit(call).lower(variables, images, key).as_text()

    both = text(False, "eval") + text(True, "batch+update")
    return {"program of the module": hashlib.sha256(both.encode()).hexdigest()}
