"""A small vision transformer."""

import flax.linen as nn
import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.models.convolution import Conv
from robust_jax.models.networks import Classifier


class VisionTransformer(Classifier):
    """Attention among square patches of the image, without convolutions in between.

    Args:
        patch: side of the patches in pixels; must divide height and width.
        depth: blocks.
        width: features of a patch.
        heads: of the attention; must divide the width.
        hidden: features of a block's dense layer as a multiple of the width.
        dropout: rate after each part of a block, in training only.
    References: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021. Differs
        from it in: the patches' mean in the place of a class token, as Beyer et al.
        (2022) have it.
    """

    patch: int = 4
    depth: int = 6
    width: int = 192
    heads: int = 3
    hidden: int = 4
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of images [*B, H, W, C].

        Raises: ValueError: a patch that does not divide the image.
        """
        height, width = x.shape[-3:-1]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"patch={self.patch} does not divide images of {height}x{width}; "
                "expected a divisor of both"
            )
        side = (self.patch, self.patch)
        x = Conv(self.width, side, self.patch, "VALID")(self.normalise(x))
        x = x.reshape(*x.shape[:-3], -1, self.width)
        place = nn.initializers.normal(0.02)
        x = x + self.param("positions", place, x.shape[-2:], jnp.float32)
        for _ in range(self.depth):
            x = _Block(self.heads, self.hidden, self.dropout)(x, train)
        x = jnp.mean(nn.LayerNorm()(x), axis=-2)
        return nn.Dense(self.num_classes)(x)


class _Block(nn.Module):
    heads: int
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        drop = nn.Dropout(self.dropout, deterministic=not train)
        y = nn.LayerNorm()(x)
        x = x + drop(nn.MultiHeadDotProductAttention(self.heads)(y, y))
        y = nn.LayerNorm()(x)
        y = nn.gelu(nn.Dense(self.hidden * x.shape[-1])(y))
        return x + drop(nn.Dense(x.shape[-1])(y))
