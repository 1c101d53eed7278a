"""What the adversary may do, by two flags that experiments share."""

from absl import flags

from robust_jax import threats
from robust_jax.commands.shared import numbers
from robust_jax.core import array_checks, boxes
from robust_jax.core.types import Threat
from robust_jax.datasets import Dataset

NORM = flags.DEFINE_string("norm", "linf", "Of the threat: linf, l2, l1, l0 or patch.")
EPS = numbers.DEFINE_number(
    "eps",
    None,
    "Radius in pixel units of [0, 1]; coordinates for l0, a side for patch.",
    required=True,
)


def threat() -> Threat:
    """The threat of the flags.

    Raises: ValueError: an unknown norm; a radius that no attack can use.
    """
    kind = threats.by_name(NORM.value)
    array_checks.eps(NORM.value, EPS.value)
    return kind(EPS.value)


def threat_on(data: Dataset) -> Threat:
    """The threat of the flags, checked beside the images that it is for.

    Raises: ValueError: a radius that allows any image.
    """
    made = threat()
    boxes.check(made, data.images.shape)
    return made


def described() -> str:
    """The threat of the flags, for captions."""
    return f"{NORM.value} eps={EPS.value:g}"
