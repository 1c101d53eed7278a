"""Residual nets of any published depth, for small images and for those of ImageNet."""

import functools
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from robust_jax.core.types import Array
from robust_jax.models import residual
from robust_jax.models.networks import Classifier
from robust_jax.models.normalisation import BatchMode, BatchNorm

# He et al. (2016), Table 1: blocks of each stage.
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECKS = 50  # From this depth on a block has three convolutions.
_EXPANSION = 4


class _Bottleneck(nn.Module):
    features: int
    inner: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, mode: BatchMode) -> Array:
        y = nn.relu(BatchNorm()(residual.plain_conv(self.inner, size=1)(x), mode))
        y = nn.relu(BatchNorm()(residual.plain_conv(self.inner, self.stride)(y), mode))
        y = BatchNorm()(residual.plain_conv(self.features, size=1)(y), mode)
        if self.stride > 1 or x.shape[-1] != self.features:
            shortcut = residual.plain_conv(self.features, self.stride, 1)(x)
            x = BatchNorm()(shortcut, mode)
        return nn.relu(y + x)


class ResNet(Classifier):
    """A residual net that normalises after its convolutions, by depth.

    Bottlenecks have their stride in the 3x3 convolution, as PyTorch's have ("v1.5").

    Args:
        depth: 18, 34, 50, 101 or 152.
        stem: "imagenet": a 7x7 convolution of stride two and a 3x3 maximum of stride
            two; "small": a 3x3 convolution of stride one, for images of 32x32.
        width: channels of the first stage; 64 is the published one.
        inner: factor on the channels inside bottlenecks: 2 makes a Wide ResNet-50-2.
    References: He et al., "Deep residual learning for image recognition", CVPR 2016.
        ResNet-50 has 25.56 M parameters. He's normal distribution by fan-out at the
        start; the head has Flax's.
    """

    depth: int = 50
    stem: Literal["imagenet", "small"] = "imagenet"
    width: int = 64
    inner: int = 1

    @nn.compact
    def __call__(
        self, x: Array, train: bool = False, mode: BatchMode = "eval"
    ) -> Array:
        """Logits, shape [*B, K].

        Raises: ValueError: a depth or stem that there is not.
        """
        x = self._stem(self.normalise(x), mode)
        for stage, blocks in enumerate(BLOCKS[self.depth]):
            features = self.width * 2**stage
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = self._block(features, stride)(x, mode)
        return nn.Dense(self.num_classes)(jnp.mean(x, axis=(-3, -2)))

    def _stem(self, x: Array, mode: BatchMode) -> Array:
        if self.depth not in BLOCKS:
            known = ", ".join(map(str, BLOCKS))
            raise ValueError(f"depth={self.depth}; expected one of {known}")
        residual.check_one_of("stem", self.stem, ("imagenet", "small"))
        if self.stem == "small":
            return nn.relu(BatchNorm()(residual.plain_conv(self.width)(x), mode))
        x = residual.plain_conv(self.width, 2, 7)(x)
        return _largest_of_nine(nn.relu(BatchNorm()(x, mode)))

    def _block(self, features: int, stride: int) -> nn.Module:
        if self.depth < BOTTLENECKS:
            return residual.PostActBlock(features, stride)
        inner = features * self.inner
        return _Bottleneck(_EXPANSION * features, inner, stride)


def _largest_of_nine(x: Array) -> Array:
    """The maximum of each 3x3 square of [*B, H, W, C], stride 2, after padding by 1.

    Of strided slices, since the gradient of a window reduction is slow on CPU.
    """
    for axis in (-3, -2):
        last = 2 * ((x.shape[axis] + 1) // 2) - 1
        pads = [(0, 0)] * x.ndim
        pads[axis] = (1, 1)
        padded = jnp.pad(x, pads, constant_values=-jnp.inf)
        x = functools.reduce(
            jnp.maximum,
            (lax.slice_in_dim(padded, i, i + last, 2, axis) for i in range(3)),
        )
    return x
