"""Sequences of images in which something moves: users' own, and turning digits (host).

A unit's invariance along a sequence is that under its own frames; see `frame_moves`.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import extras
from robust_jax.core.records import PathLike

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_DEPTHS = 5  # Layers of points that make a stroke a body.

Clips = NDArray[np.floating]  # [N, T, H, W, C], values in [0, 1]


def load_frames(path: PathLike) -> NDArray[np.float32]:
    """The frames of one clip, [T, H, W, C] in [0, 1].

    Args:
        path: a directory of images, one for each frame, in the order of their names; or
            a NumPy file of shape [T, H, W] or [T, H, W, C], bytes or values in [0, 1].
    Raises: FileNotFoundError: nothing there. ValueError: no image; frames of more than
        one size; other numbers or axes.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        frames = _images(path)
    elif path.is_file():
        frames = _array(path)
    else:
        raise FileNotFoundError(f"{path}: expected a directory of frames or a .npy")
    if frames.dtype == np.uint8:
        frames = frames / np.float32(255)
    frames = frames[..., None] if frames.ndim == 3 else frames
    if frames.ndim != 4 or not np.issubdtype(frames.dtype, np.floating):
        raise ValueError(
            f"{path}: {frames.dtype} of shape {frames.shape}; expected bytes or floats "
            "of shape [T, H, W] or [T, H, W, C]"
        )
    if frames.min() < 0 or frames.max() > 1:
        raise ValueError(
            f"{path}: values from {frames.min():g} to {frames.max():g}; expected [0, 1]"
        )
    return frames.astype(np.float32)


def frame_moves(clips: Clips, reach: int) -> Iterator[Clips]:
    """For steps of -reach to reach, each frame's neighbour so many frames on.

    Frames of shape [N * (T - 2 reach), H, W, C]: those that have all their neighbours.
    With step 0 they are the unchanged inputs of `invariance`.

    Raises: ValueError: clips that are too short.
    """
    length = clips.shape[1]
    if not 0 < 2 * reach < length:
        raise ValueError(f"reach={reach} in clips of {length} frames; expected less")
    for step in range(-reach, reach + 1):
        part = clips[:, reach + step : length - reach + step]
        yield part.reshape(-1, *clips.shape[2:])


def turning_strokes(
    images: NDArray[np.floating], degrees: NDArray[np.floating], depth: float = 0.2
) -> Clips:
    """Images of bright strokes as bodies that turn about their upright axis.

    Ink is a cloud of points, `depth` times the image's width deep; a frame is its
    shadow, each point shared between the two pixels at its place: the ink is that of
    the unturned image, but for what falls outside and sums above 1, which are cut.

    Args:
        images: shape [N, H, W, 1], pixels in [0, 1].
        degrees: the angle of each frame, [T].
        depth: of the bodies, over the width.
    Returns: float32, shape [N, T, H, W, 1].
    """
    count, height, width, _ = images.shape
    across = np.arange(width) - (width - 1) / 2
    deep = np.linspace(-depth / 2, depth / 2, _DEPTHS) * width
    made = np.zeros((count, len(degrees), height, width, 1), np.float32)
    for frame, angle in enumerate(np.radians(degrees)):
        for z in deep:
            place = across * np.cos(angle) + z * np.sin(angle) + (width - 1) / 2
            low = np.floor(place).astype(int)
            for column, share in ((low, low + 1 - place), (low + 1, place - low)):
                inside = (column >= 0) & (column < width)
                weight = np.zeros((width, width))
                weight[np.flatnonzero(inside), column[inside]] = share[inside]
                made[:, frame, :, :, 0] += images[..., 0] @ weight / _DEPTHS
    return made.clip(0, 1)


def _array(path):
    try:
        # Opened here: of a damaged zip NumPy 2 would leave the file open.
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except Exception:  # NumPy and zipfile raise many kinds for foreign bytes.
        found = None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path}: no array; expected a .npy, as numpy.save writes")
    return found


def _picture(path):
    image = extras.needed("matplotlib.image", "plots", "analysis.load_frames")
    try:
        return image.imread(path)
    except Exception as error:  # No decoder says what it raises on foreign bytes.
        raise ValueError(f"{path}: no image that can be read ({error})") from error


def _images(folder):
    names = sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES)
    if not names:
        raise ValueError(f"{folder}: no image; expected one for each frame")
    frames = [_picture(name) for name in names]
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"{folder}: frames of shapes {sorted(sizes)}; expected one")
    return np.stack(frames)
