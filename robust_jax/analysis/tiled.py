"""Functions of a batch, for any number of images (host)."""

from collections.abc import Callable

import jax
import numpy as np
from numpy.typing import NDArray

from robust_jax.core import lift
from robust_jax.core.closures import values_of_now
from robust_jax.core.types import Array


def tiled(
    function: Callable[[Array], Array], tile: int = 256
) -> Callable[[NDArray[np.floating]], NDArray]:
    """A function of images [tile, *S] as one of images [N, *S].

    Compiled once for all weights, those that it looks up among them.
    """

    def of_all(images: NDArray[np.floating]) -> NDArray:
        tiles = list(lift.tiles(len(images), tile))
        now = values_of_now(function, images[tiles[0][0]])
        found = [np.asarray(_asked(now, images[index]))[:real] for index, real in tiles]
        return np.concatenate(found)

    return of_all


@jax.jit
def _asked(function, batch):
    return function(batch)
