"""Functions of a batch, for any number of images (host)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import lift
from robust_jax.core.types import Array


def tiled(
    function: Callable[[Array], Array], tile: int = 256
) -> Callable[[NDArray[np.floating]], NDArray]:
    """A compiled function of images [tile, *S] as one of images [N, *S]."""

    def of_all(images: NDArray[np.floating]) -> NDArray:
        tiles = lift.tiles(len(images), tile)
        found = [np.asarray(function(images[index]))[:real] for index, real in tiles]
        return np.concatenate(found)

    return of_all
