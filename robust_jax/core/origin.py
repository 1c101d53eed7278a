"""Where a model comes from: what adapters of foreign nets say of their functions.

It stands on the function of a `jax.tree_util.Partial` as `origin`, apart from weights:
front doors turn images by the layout, reports keep source and parity.
"""

import dataclasses
from typing import Any, Literal

from jax.tree_util import Partial

Layout = Literal["HWC", "CHW"]  # Where the channels of an image are.
CLOSE = 1e-4  # A larger difference of logits, relative to the largest, is another net.


@dataclasses.dataclass(frozen=True)
class Parity:
    """How close an imported net is to the original, on the same images.

    Args:
        images: how many.
        logits: largest difference of logits, relative to the largest |logit|.
        same_class: images whose largest logit is that of the same class.
        gradients: largest difference of input gradients of the margin between the two
            largest logits, relative to the largest entry; None where the original has
            none.
        differs: the first layer that differs by more than `CLOSE`, if any does.
    """

    images: int
    logits: float
    same_class: int
    gradients: float | None = None
    differs: str | None = None

    @property
    def is_close(self) -> bool:
        """Whether logits differ by rounding alone."""
        return self.logits <= CLOSE

    def __str__(self) -> str:
        gradients = (
            "" if self.gradients is None else f", gradients {self.gradients:.1e}"
        )
        return (
            f"logits differ by {self.logits:.1e} of the largest{gradients}, the same "
            f"class on {self.same_class} of {self.images} images"
        )


@dataclasses.dataclass(frozen=True)
class Origin:
    """What an adapter says of a model; equal origins share compiled programs.

    Args:
        source: such as "torch package.Net"; one line.
        layout: of the images that it takes; None if it does not know images.
        parity: with the original; not compared, as new weights have another one.
    """

    source: str
    layout: Layout | None = None
    parity: Parity | None = dataclasses.field(default=None, compare=False)


def of(model: Any) -> Origin | None:
    """What is known of a model, through wrappers that hold it; None of plain functions.

    >>> from robust_jax.core import origin
    >>> origin.of(rj.interop.from_host(lambda batch: batch, 2)) is None
    True
    """
    if not isinstance(model, Partial):
        return getattr(model, "origin", None)
    known = getattr(model.func, "origin", None)
    if known is not None:
        return known
    inner = (of(held) for held in model.args if isinstance(held, Partial))
    return next((found for found in inner if found is not None), None)
