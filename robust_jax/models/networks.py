"""The small nets of the robustness literature, by name.

They take pixels in [0, 1], one image [H, W, C] or any number of leading batch axes, and
give logits; normalisation is part of the net, so that a radius always is in pixels.
"""

import flax.linen as nn
import jax.numpy as jnp

from robust_jax.core.types import Array
from robust_jax.models.convolution import Conv


class Classifier(nn.Module):
    """What the nets have in common: the classes, and the normalisation of pixels.

    A net computes `(pixels - mean) / std` first; by default nothing changes. `train`
    switches on what is random in training (dropout, by `rngs={"dropout": key}`); nets
    without that give the same logits either way.

    Args:
        num_classes: K, at least 2.
        mean: one number, or one per channel, pixel units.
        std: the same, above 0.
    """

    num_classes: int = 10
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def normalise(self, x: Array) -> Array:
        """The pixels as the net's first layer takes them, shape kept.

        Raises: ValueError: pixels that are not floats.
        """
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"x.dtype={x.dtype}; expected floats in [0, 1]; divide bytes by 255"
            )
        return (x - jnp.asarray(self.mean, x.dtype)) / jnp.asarray(self.std, x.dtype)


class MLP(Classifier):
    """Dense layers with ReLU.

    Args:
        hidden: features of the hidden layers; none makes the net affine.
        input_rank: axes of one example: 3 for images [H, W, C], 1 for vectors.
    """

    hidden: tuple[int, ...] = (100, 100)
    input_rank: int = 3

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of examples [*B, *S]."""
        x = flatten(self.normalise(x), self.input_rank)
        for features in self.hidden:
            x = self.activate(nn.Dense(features)(x))
        return nn.Dense(self.num_classes)(x)

    def activate(self, x: Array) -> Array:
        """The units' answer."""
        return nn.relu(x)


class SigmoidMLP(MLP):
    """Dense layers with sigmoid units; by default FC100-100-10.

    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Sec. 4.2. Differs from the paper in: Flax's initial distributions.
    """

    def activate(self, x: Array) -> Array:
        """The units' answer."""
        return nn.sigmoid(x)


class SmallCNN(Classifier):
    """TRADES' MNIST net: four 3x3 convolutions without padding, three dense layers.

    Convolutions start from He's normal distribution, as the authors' do.

    Args:
        dropout: rate after the first dense layer, in training only.
        zero_head: start the last layer's kernel at zero, as the authors do. Not the
            default, since an untrained net then has no gradient.
    References: Zhang et al., "Theoretically principled trade-off between robustness
        and accuracy", ICML 2019. Differs from the authors' code in: `zero_head`; Flax's
        initial distribution of the dense layers.
    """

    dropout: float = 0.5
    zero_head: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of images [*B, H, W, C], at least 16x16."""
        x = self.normalise(x)
        init = nn.initializers.he_normal()
        for features in (32, 64):
            for _ in range(2):
                conv = Conv(features, (3, 3), padding="VALID", kernel_init=init)
                x = nn.relu(conv(x))
            x = max_pool(x)
        x = nn.relu(nn.Dense(200)(flatten(x)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(nn.Dense(200)(x))
        head = (
            nn.initializers.zeros if self.zero_head else nn.linear.default_kernel_init
        )
        return nn.Dense(self.num_classes, kernel_init=head)(x)


class FastCNN(Classifier):
    """The MNIST net of fast adversarial training: two 4x4 convolutions of stride 2.

    Args:
        width: factor on the 16 and 32 channels and the 100 hidden features.
    References: Wong et al., "Fast is better than free: revisiting adversarial
        training", ICLR 2020. Differs from the authors' code in: Flax's initial
        distributions.
    """

    width: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of images [*B, H, W, C], at least 4x4."""
        x = self.normalise(x)
        for features in (16, 32):
            x = nn.relu(Conv(features * self.width, (4, 4), strides=2, padding=1)(x))
        x = nn.relu(nn.Dense(100 * self.width)(flatten(x)))
        return nn.Dense(self.num_classes)(x)


class MadryCNN(Classifier):
    """The MNIST challenge's net: 5x5 convolutions with pooling, a dense layer.

    Args:
        features: channels of the convolutions.
        hidden: features of the dense layer.
    References: Madry et al., "Towards deep learning models resistant to adversarial
        attacks", ICLR 2018. Differs from the authors' code in: Flax's initial
        distributions.
    """

    features: tuple[int, ...] = (32, 64)
    hidden: int = 1024

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of images [*B, H, W, C], at least 4x4."""
        x = self.normalise(x)
        for features in self.features:
            x = max_pool(nn.relu(Conv(features, (5, 5))(x)))
        x = nn.relu(nn.Dense(self.hidden)(flatten(x)))
        return nn.Dense(self.num_classes)(x)


class DigitsCNN(Classifier):
    """A net for images of about 8x8 pixels: two 3x3 convolutions, one of stride 2."""

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Logits, shape [*B, K], of images [*B, H, W, C]."""
        x = self.normalise(x)
        x = nn.relu(Conv(32, (3, 3))(x))
        x = nn.relu(Conv(64, (3, 3), strides=2)(x))
        x = nn.relu(nn.Dense(128)(flatten(x)))
        return nn.Dense(self.num_classes)(x)


def flatten(x: Array, rank: int = 3) -> Array:
    """Each example as a vector: [*B, *S] to [*B, D], where *S has `rank` axes."""
    if x.ndim < rank:
        raise ValueError(
            f"x.shape={x.shape}; expected examples of {rank} axes, after any batch axes"
        )
    return x.reshape(*x.shape[: x.ndim - rank], -1)


def max_pool(x: Array, window: int = 2) -> Array:
    """The largest value of every window by window square of images [*B, H, W, C].

    Written as a reshape, since the gradient of a window reduction is slow on CPU.
    Edge cases: rows and columns left over at the bottom and right are dropped; equal
    largest values share the gradient equally.

    Returns: shape [*B, H // window, W // window, C].

    >>> rj.models.max_pool(jnp.arange(4.0).reshape(1, 2, 2, 1)).ravel()
    Array([3.], dtype=float32)
    """
    *batch, height, width, channels = x.shape
    rows, columns = height // window, width // window
    x = x[..., : rows * window, : columns * window, :]
    x = x.reshape(*batch, rows, window, columns, window, channels)
    return x.max(axis=(-4, -2))
