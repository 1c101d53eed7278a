"""Nets in Flax Linen: pixels in [0, 1] in, logits out, normalisation inside."""

from robust_jax.core import extras

extras.needed("flax", "flax", "robust_jax.models")

from robust_jax.models import fake_catalog, fakes
from robust_jax.models.bottleneck import ResNet
from robust_jax.models.catalog import by_name, names
from robust_jax.models.checkpoints import Checkpoint, load, save
from robust_jax.models.convolution import Conv, conv2d
from robust_jax.models.functional import (
    Apply,
    ApplyMode,
    flops,
    init,
    logits_fn,
)
from robust_jax.models.networks import (
    MLP,
    Classifier,
    DigitsCNN,
    FastCNN,
    MadryCNN,
    SmallCNN,
    max_pool,
)
from robust_jax.models.normalisation import BatchMode, BatchNorm
from robust_jax.models.residual import PreActResNet18, ResNet18, WideResNet
from robust_jax.models.transformer import VisionTransformer

__all__ = [
    "MLP",
    "Apply",
    "ApplyMode",
    "BatchMode",
    "BatchNorm",
    "Checkpoint",
    "Classifier",
    "Conv",
    "DigitsCNN",
    "FastCNN",
    "MadryCNN",
    "PreActResNet18",
    "ResNet",
    "ResNet18",
    "SmallCNN",
    "VisionTransformer",
    "WideResNet",
    "by_name",
    "conv2d",
    "fake_catalog",
    "fakes",
    "flops",
    "init",
    "load",
    "logits_fn",
    "max_pool",
    "names",
    "save",
]
