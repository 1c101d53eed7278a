"""Nets in Flax Linen: pixels in [0, 1] in, logits out, normalisation inside."""

from robust_jax.models import fake_catalog, fakes
from robust_jax.models.checkpoints import Checkpoint, load, save
from robust_jax.models.convolution import Conv, conv2d
from robust_jax.models.functional import (
    Apply,
    ApplyMode,
    BatchMode,
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
    by_name,
    max_pool,
    names,
)

__all__ = [
    "MLP",
    "Apply",
    "ApplyMode",
    "BatchMode",
    "Checkpoint",
    "Classifier",
    "Conv",
    "DigitsCNN",
    "FastCNN",
    "MadryCNN",
    "SmallCNN",
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
