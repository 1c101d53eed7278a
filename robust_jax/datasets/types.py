"""What a data set is once it is in memory: images, labels, ids."""

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.core.brief import brief, brief_html
from robust_jax.core.ids import example_ids

if TYPE_CHECKING:
    import jax

_HASHED_AT_ONCE = 1024  # Examples; bounds the float32 copy that hashing needs.


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a data set, in memory.

    Images keep their raw integers, a quarter of the memory; `pixels` gives what
    models, attacks and reports speak: float32 in [0, 1], raw values over `scale`. A
    user's own may be float32 in [0, 1] already, of `scale` 1, and of any axes.
    """

    name: str
    split: str
    images: NDArray[Any]  # [N, H, W, C] uint8, values in 0..scale, or float32 in [0, 1]
    labels: NDArray[np.int32]  # [N]
    ids: NDArray[np.uint64]  # [N], see core.ids; equal examples have equal ids
    num_classes: int
    scale: int  # the raw value of full intensity: 255, 16 for the digits, 1 of floats
    classes: tuple[str, ...] = ()  # their names in order, if they are known

    __repr__ = brief
    _repr_html_ = brief_html

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self) -> NDArray[np.float32]:
        """The images as float32 in [0, 1], shape [N, H, W, C], on the host."""
        return pixels(self.images, self.scale)

    def take(self, indices: ArrayLike) -> Self:
        """The examples at `indices` (integers, a mask or a slice's range), in order."""
        at = np.asarray(indices)
        at = at if at.size else at.astype(np.int64)  # An empty list would be float.
        return dataclasses.replace(
            self, images=self.images[at], labels=self.labels[at], ids=self.ids[at]
        )

    def split_at(self, first: int) -> tuple[Self, Self]:
        """The first `first` examples, and the others.

        Raises: ValueError: first is not in 0..N.
        """
        if not 0 <= first <= len(self):
            raise ValueError(
                f"first={first}; expected 0 to {len(self)}, the number of examples"
            )
        everything = np.arange(len(self))
        return self.take(everything[:first]), self.take(everything[first:])

    def on_device(self) -> "OnDevice":
        """The raw images and the labels as jax arrays, with the table to pixels."""
        import jax.numpy as jnp  # Reading a data set does not need jax.

        table = np.zeros(256, np.float32)
        table[: self.scale + 1] = pixels(np.arange(self.scale + 1), self.scale)
        return OnDevice(
            jnp.asarray(self.images), jnp.asarray(self.labels), jnp.asarray(table)
        )


class OnDevice(NamedTuple):
    """A data set on a device, as raw values; a pytree, so that it can be an argument.

    XLA turns `images / 255` in a compiled program into a product with 1/255, which
    is one bit off for 126 of the 256 values. The table gives NumPy's bits anywhere;
    images that are floats are pixels already.
    """

    images: "jax.Array"  # [N, H, W, C] uint8, or float32
    labels: "jax.Array"  # [N] int32
    table: "jax.Array"  # [256] float32, the pixel of each raw value

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    def batch(self, indices: "jax.Array") -> "tuple[jax.Array, jax.Array]":
        """The pixels and labels at `indices`, also inside a compiled program.

        Args:
            indices: integers, shape [B].
        Returns: pixels, float32, shape [B, H, W, C], and labels, int32, shape [B].
        """
        rows = self.images[indices]
        is_raw = rows.dtype == np.uint8
        return self.table[rows] if is_raw else rows, self.labels[indices]


def pixels(images: NDArray[Any], scale: int) -> NDArray[np.float32]:
    """Raw values as float32 in [0, 1]: correctly rounded quotients by `scale`."""
    return images.astype(np.float32) / np.float32(scale)


def dataset_ids(
    images: NDArray[Any], labels: NDArray[np.int32], scale: int
) -> NDArray[np.uint64]:
    """The `example_ids` of raw images, with little more memory than the images."""
    parts = [
        example_ids(
            pixels(images[at : at + _HASHED_AT_ONCE], scale),
            labels[at : at + _HASHED_AT_ONCE],
        )
        for at in range(0, len(images), _HASHED_AT_ONCE)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *parts])
