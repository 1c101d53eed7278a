"""Which pixels a unit sees: the arithmetic of receptive fields."""

from collections.abc import Iterable
from typing import NamedTuple

from robust_jax.core import checks

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two not included


class Window(NamedTuple):
    """A convolution or a pooling, square."""

    kernel: int
    stride: int = 1
    padding: int = 0  # before the first pixel


class Field(NamedTuple):
    """Unit i of an axis sees pixels i * stride + start up to size more."""

    size: int
    stride: int
    start: int  # of unit 0; negative where it sees padding

    def box(self, row: int, column: int, height: int, width: int) -> Box:
        """What a unit sees of an image of that size."""
        top, left = (i * self.stride + self.start for i in (row, column))
        bottom, right = top + self.size, left + self.size
        return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def receptive_field(layers: Iterable[Window]) -> Field:
    """What a unit of the last of these layers sees of the first one's input.

    Args:
        layers: convolutions and poolings, the lowest first; none is a unit that sees
            its own pixel.
    Raises: ValueError: a kernel or stride below 1, or a negative padding.
    References: Girshick et al., "Rich feature hierarchies for accurate object detection
        and semantic segmentation", CVPR 2014, Sec. 3.1: 195 pixels for pool5.
    """
    size, stride, start = 1, 1, 0
    for layer in layers:
        checks.positive_integer("kernel", layer.kernel)
        checks.positive_integer("stride", layer.stride)
        checks.non_negative_number("padding", layer.padding)
        size += (layer.kernel - 1) * stride
        start -= layer.padding * stride
        stride *= layer.stride
    return Field(size, stride, start)
