"""Clean images, adversarial ones and their differences, as small pictures of a page."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import extras
from robust_jax.report.magnify import magnification

_SIDE = 96  # pixels; larger images are reduced
_BYTES = 1_400_000  # of all pictures of a page, before they become text
_RANGES = ((0.0, 1.0), (-0.5, 0.5), (-1.0, 1.0))  # of black and white
_BYTES_RANGE, _NO_BYTES = (0.0, 255.0), 2.0  # Some value is larger, where it is this.
_COLOURS = (1, 3)
_SAMPLE = 8  # images that say how much a quality takes

# Okabe & Ito, "Color universal design" (2008): blue and vermilion; between them white.
_DARKER, _SAME, _LIGHTER = np.array([(0, 114, 178), (247, 247, 247), (213, 94, 0)])


class _Quality(NamedTuple):
    webp: dict[str, Any]
    levels: int  # of a difference, to each side of none


# The first that fits. A difference is flat colours, which loss would not make smaller.
_FLAT = {"lossless": True, "quality": 0, "method": 0}
_QUALITIES = (
    _Quality(_FLAT, 15),
    *(
        _Quality({"quality": quality, "method": 2}, levels)
        for quality, levels in ((95, 15), (85, 7), (70, 7), (50, 3), (30, 2))
    ),
)


class Drawn(NamedTuple):
    """An image in three pictures, which are data URIs."""

    clean: str
    adversarial: str
    difference: str
    factor: float  # of the difference, where white is 1; 0 where nothing differs


class Pictures(NamedTuple):
    """All images of a page, and what a reader should know of them."""

    drawn: list[Drawn]
    size: tuple[int, int]  # height and width in pixels
    notes: list[str]


class _Pair(NamedTuple):
    """Images of [H, W, 1 or 3], and of how much each pixel changed most, [H, W]."""

    clean: NDArray[np.float32]
    adversarial: NDArray[np.float32]
    difference: NDArray[np.float32]


def layout(shape: Sequence[int], said: str | None) -> str | None:
    """Where an example has its channels: "HW", "HWC" or "CHW"; None of no image.

    Args:
        shape: of an example.
        said: the layout that its model says, if it does.
    """
    if 0 in shape or len(shape) not in (2, 3):
        return None
    if len(shape) == 2:
        return "HW"
    seems_first = shape[0] in _COLOURS and shape[-1] not in _COLOURS
    return said or ("CHW" if seems_first else "HWC")


def drawn(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]], layout: str, what: str
) -> Pictures:
    """Pictures of clean and adversarial images, which are asked for one by one.

    Args:
        pairs: at least one, all of the same shape.
        layout: see `layout`.
        what: names the caller where Pillow is missing.
    Raises: ImportError: Pillow is missing.
    """
    pillow = extras.needed("PIL.Image", "pages", what)
    made, low, high, shape = [], np.inf, -np.inf, (0, 0, 0)
    for pair in pairs:
        clean, adversarial = (_channels_last(image, layout) for image in pair)
        low = min(low, float(clean.min()), float(adversarial.min()))
        high = max(high, float(clean.max()), float(adversarial.max()))
        shape = clean.shape
        made.append(_reduced(clean, adversarial))
    black, white = _range(low, high)
    scaled = [_scaled(pair, black, white) for pair in made]
    quality = _fitting(pillow, scaled)
    h, w = made[0].difference.shape
    notes = [*_notes(shape, (h, w), (black, white), quality)]
    return Pictures([_drawn(pillow, p, quality) for p in scaled], (h, w), notes)


def _channels_last(image: NDArray[Any], layout: str) -> NDArray[np.float32]:
    image = np.nan_to_num(image.astype(np.float32))
    if layout == "HW":
        return image[..., None]
    return np.moveaxis(image, 0, -1) if layout == "CHW" else image


def _reduced(clean: NDArray[np.float32], adversarial: NDArray[np.float32]) -> _Pair:
    """At most _SIDE pixels high and wide: means of blocks, largest of differences."""
    if clean.shape[-1] not in _COLOURS:
        clean, adversarial = clean[..., :1], adversarial[..., :1]
    by = -(-max(clean.shape[:2]) // _SIDE)
    change = _blocks(adversarial - clean, by)  # [h, w, by * by, C]
    change = change.reshape(*change.shape[:2], -1)
    largest = np.abs(change).argmax(axis=-1)[..., None]
    difference = np.take_along_axis(change, largest, axis=-1)[..., 0]
    clean, adversarial = (_blocks(i, by).mean(axis=2) for i in (clean, adversarial))
    return _Pair(clean, adversarial, difference)


def _blocks(image: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """[H, W, C] as blocks [h, w, by * by, C]; the last row and column are repeated."""
    missing = [(0, -side % by) for side in image.shape[:2]]
    image = np.pad(image, [*missing, (0, 0)], mode="edge")
    h, w, channels = image.shape[0] // by, image.shape[1] // by, image.shape[2]
    cut = image.reshape(h, by, w, by, channels).swapaxes(1, 2)
    return cut.reshape(h, w, by * by, channels)


def _range(low: float, high: float) -> tuple[float, float]:
    """Black and white: of the usual ranges the first that holds all values."""
    for known in (*_RANGES, *[_BYTES_RANGE] * (high > _NO_BYTES)):
        if known[0] <= low and high <= known[1]:
            return known
    return low, high


def _scaled(pair: _Pair, black: float, white: float) -> _Pair:
    clean, adversarial = ((image - black) / (white - black) for image in pair[:2])
    return _Pair(clean, adversarial, pair.difference / (white - black))


def _notes(
    shape: tuple[int, ...],
    size: tuple[int, int],
    span: tuple[float, float],
    quality: _Quality,
) -> Iterator[str]:
    h, w, channels = shape
    if channels not in _COLOURS:
        yield f"The images have {channels} channels; the first is shown."
    if span != _RANGES[0]:
        yield f"Black is {span[0]:.4g} and white is {span[1]:.4g}."
    if (h, w) != size:
        yield f"Pictures are reduced from {h} × {w} to {size[0]} × {size[1]} pixels."
    if quality.webp is not _FLAT:
        yield "Clean and adversarial pictures are compressed with some loss."


def _fitting(pillow: ModuleType, pairs: list[_Pair]) -> _Quality:
    """The best quality of which all pictures take no more than _BYTES."""
    some = pairs[:: -(-len(pairs) // _SAMPLE)]
    for quality in _QUALITIES:
        uris = (uri for pair in some for uri in _drawn(pillow, pair, quality)[:3])
        if 3 / 4 * sum(map(len, uris)) * len(pairs) <= _BYTES * len(some):
            break
    return quality


def _drawn(pillow: ModuleType, pair: _Pair, quality: _Quality) -> Drawn:
    def uri(image: NDArray[np.uint8], webp: dict[str, Any]) -> str:
        file = io.BytesIO()
        pillow.fromarray(image).save(file, format="WEBP", **webp)
        return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()

    factor = magnification(pair.difference)
    change = _coloured(pair.difference * np.float32(factor), quality.levels)
    clean, adversarial = (uri(_bytes(i), quality.webp) for i in pair[:2])
    told = factor if pair.difference.any() else 0.0
    return Drawn(clean, adversarial, uri(change, _FLAT), told)


def _bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return np.broadcast_to(levels, (*levels.shape[:2], 3))


def _coloured(change: NDArray[np.float32], levels: int) -> NDArray[np.uint8]:
    """Blue where a pixel is darker, orange where lighter; full at -0.5 and 0.5."""
    share = np.rint(np.clip(2 * change, -1, 1) * levels)[..., None] / levels
    mixed = _SAME + np.abs(share) * (np.where(share < 0, _DARKER, _LIGHTER) - _SAME)
    return np.rint(mixed).astype(np.uint8)
