"""The residual nets of the robustness literature.

All are for images [*B, H, W, C] of any size; convolutions have no bias.
"""

import functools
from collections.abc import Iterable
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.models.convolution import Conv, Padding
from robust_jax.models.networks import Classifier
from robust_jax.models.normalisation import BatchMode, BatchNorm

_STAGES = (64, 128, 256, 512)  # ResNet-18's channels
_FAN_OUT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_PYTORCH = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

_LATE: Padding = ((0, 1), (0, 1))  # What "SAME" is for stride two and even sides.
_ACTIVATIONS = {"relu": nn.relu, "silu": nn.silu}


class _PreActBlock(nn.Module):
    features: int
    stride: int
    layout: str = "rice"
    activation: str = "relu"

    @nn.compact
    def __call__(self, x: Array, mode: BatchMode) -> Array:
        conv = functools.partial(plain_conv, kernel_init=_PYTORCH)
        activate = _ACTIVATIONS[self.activation]
        is_deepmind = self.layout == "deepmind"
        padding = _LATE if is_deepmind and self.stride > 1 else 1
        first = activate(BatchNorm()(x, mode))
        shortcut = x
        if self.stride > 1 or x.shape[-1] != self.features:
            given = first if self.layout == "rice" else x
            size, pads = (3, padding) if is_deepmind else (1, 0)
            shortcut = conv(self.features, self.stride, size, pads)(given)
        y = conv(self.features, self.stride, padding=padding)(first)
        y = conv(self.features)(activate(BatchNorm()(y, mode)))
        return y + shortcut


class _PostActBlock(nn.Module):
    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, mode: BatchMode) -> Array:
        conv = functools.partial(plain_conv, kernel_init=_PYTORCH)
        y = nn.relu(BatchNorm()(conv(self.features, self.stride)(x), mode))
        y = BatchNorm()(conv(self.features)(y), mode)
        if self.stride > 1 or x.shape[-1] != self.features:
            x = BatchNorm()(conv(self.features, self.stride, 1)(x), mode)
        return nn.relu(y + x)


PostActBlock = _PostActBlock  # Weights on disk go by the first name.


class PreActResNet18(Classifier):
    """ResNet-18 with normalisation and ReLU before each convolution, for small images.

    Args:
        width: channels of the first stage; 64 is the published one.
        layout: "rice": where the number of channels changes, a 1x1 convolution of the
            normalised and activated images is the shortcut; "wong": of the block's
            images as they are; "deepmind": a 3x3 convolution of these, and all of
            stride two pad at the bottom and right alone.
        activation: "relu" or "silu".
        last_norm: normalise and activate before the head.
    References: He et al., "Identity mappings in deep residual networks", ECCV 2016;
        Rice et al. and Wong et al. (2020), as RobustBench has their nets (the latter
        without `last_norm`); Gowal et al. (2020). 11.17 M parameters. PyTorch's
        initial distributions; the head has Flax's.
    """

    width: int = 64
    layout: Literal["rice", "wong", "deepmind"] = "rice"
    activation: Literal["relu", "silu"] = "relu"
    last_norm: bool = True

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, mode: BatchMode = "eval"
    ) -> Array:
        """Logits, shape [*B, K].

        Raises: ValueError: a layout or activation that there is not.
        """
        check_one_of("layout", self.layout, ("rice", "wong", "deepmind"))
        check_one_of("activation", self.activation, _ACTIVATIONS)
        x = plain_conv(self.width, kernel_init=_PYTORCH)(self.normalise(x))
        for stage, share in enumerate(_STAGES):
            features = share * self.width // 64
            for block in range(2):
                stride = 2 if stage and not block else 1
                options = (features, stride, self.layout, self.activation)
                x = _PreActBlock(*options)(x, mode)
        if self.last_norm:
            x = _ACTIVATIONS[self.activation](BatchNorm()(x, mode))
        return nn.Dense(self.num_classes)(jnp.mean(x, axis=(-3, -2)))


class ResNet18(Classifier):
    """ResNet-18 with a 3x3 stem of stride one, for small images.

    Args:
        width: channels of the first stage; 64 is the published one.
    References: He et al., "Deep residual learning for image recognition", CVPR 2016,
        as MART and TRADES' successors have it for CIFAR-10. 11.17 M parameters.
        PyTorch's initial distributions; the head has Flax's.
    """

    width: int = 64

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, mode: BatchMode = "eval"
    ) -> Array:
        """Logits, shape [*B, K]."""
        x = plain_conv(self.width, kernel_init=_PYTORCH)(self.normalise(x))
        x = nn.relu(BatchNorm()(x, mode))
        for stage, features in enumerate(_STAGES):
            for block in range(2):
                stride = 2 if stage and not block else 1
                x = _PostActBlock(features * self.width // 64, stride)(x, mode)
        return nn.Dense(self.num_classes)(jnp.mean(x, axis=(-3, -2)))


class _WideBlock(nn.Module):
    features: int
    stride: int
    momentum: float
    activation: str
    dropout: float
    padding: Padding

    @nn.compact
    def __call__(self, x: Array, train: bool, mode: BatchMode) -> Array:
        activate = _ACTIVATIONS[self.activation]
        first = activate(BatchNorm(self.momentum)(x, mode))
        changes = x.shape[-1] != self.features
        shortcut = plain_conv(self.features, self.stride, 1)(first) if changes else x
        y = plain_conv(self.features, self.stride, padding=self.padding)(first)
        y = activate(BatchNorm(self.momentum)(y, mode))
        y = nn.Dropout(self.dropout, deterministic=not train)(y)
        return plain_conv(self.features)(y) + shortcut


class WideResNet(Classifier):
    """A residual net of three stages with many channels.

    Args:
        depth: layers, 6 n + 4.
        width: factor on the 16, 32 and 64 channels of the stages.
        layout: "trades": convolutions of stride two pad one pixel on every side, and
            running statistics keep 0.9 an update; "deepmind": they pad at the bottom
            and right alone, and keep 0.99.
        activation: "relu" or "silu".
        dropout: rate between a block's convolutions, in training only.
    References: Zagoruyko & Komodakis, "Wide residual networks", BMVC 2016; TRADES
        (2019) and Gowal et al., "Uncovering the limits of adversarial training", 2020.
        WRN-28-10 has 36.48 M parameters, WRN-34-10 46.16 M. He's normal distribution
        by fan-out at the start; the head has Flax's.
    """

    depth: int = 28
    width: int = 10
    layout: Literal["trades", "deepmind"] = "trades"
    activation: Literal["relu", "silu"] = "relu"
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, mode: BatchMode = "eval"
    ) -> Array:
        """Logits, shape [*B, K].

        Raises: ValueError: a depth, layout or activation that there is not.
        """
        self._check()
        is_trades = self.layout == "trades"
        momentum = 0.9 if is_trades else 0.99
        narrowing = 1 if is_trades else _LATE
        activate = _ACTIVATIONS[self.activation]
        x = plain_conv(16)(self.normalise(x))
        for stage, features in enumerate((16, 32, 64)):
            for block in range((self.depth - 4) // 6):
                stride = 2 if stage and not block else 1
                x = _WideBlock(
                    features * self.width,
                    stride,
                    momentum,
                    self.activation,
                    self.dropout,
                    narrowing if stride > 1 else 1,
                )(x, train, mode)
        x = activate(BatchNorm(momentum)(x, mode))
        return nn.Dense(self.num_classes)(jnp.mean(x, axis=(-3, -2)))

    def _check(self) -> None:
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"depth={self.depth}; expected 6 n + 4, such as 28 or 34")
        check_one_of("layout", self.layout, ("trades", "deepmind"))
        check_one_of("activation", self.activation, _ACTIVATIONS)


def check_one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raises ValueError for an attribute that there is not."""
    if value not in known:
        raise ValueError(f"{name}={value!r}; expected {' or '.join(known)}")


def plain_conv(
    features: int,
    stride: int = 1,
    size: int = 3,
    padding: Padding | None = None,
    kernel_init: Any = _FAN_OUT,
) -> Conv:
    """A convolution without a bias; by default it pads half its size on each side."""
    return Conv(
        features,
        (size, size),
        stride,
        size // 2 if padding is None else padding,
        use_bias=False,
        kernel_init=kernel_init,
    )
