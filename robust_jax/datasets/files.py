"""Data sets of a user's files: .npz, or a folder of PNGs and JPEGs by class.

Nothing in a file is executed: arrays of Python objects, which NumPy would unpickle, are
refused.
"""

import dataclasses
import os
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import checks, extras
from robust_jax.datasets.arrays import from_arrays
from robust_jax.datasets.types import Dataset

_IMAGES, _LABELS = ("images", "x"), ("labels", "y")
_NPY = b"\x93NUMPY"  # How a .npy begins.
_SUFFIXES = (".png", ".jpg", ".jpeg")
_BROKEN = (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError)
PathLike = str | os.PathLike[str]
Range = tuple[float, float] | None


def from_npz(
    path: PathLike,
    *,
    labels: str | None = None,
    split: str = "test",
    image_range: Range = None,
) -> Dataset:
    """Images and labels of a .npz file.

    Images are the array `images` or `x`, labels `labels` or `y`. A file may hold
    several splits: `x_test`, `test_x`, `images_test` or `test_images`, and the same of
    labels, which are looked for first. Of a file without splits all is taken, whatever
    `split` says, and the data set's `split` is "".
    Guarantees: nothing in the file is executed.

    Args:
        path: the file.
        labels: the name of the array of labels, or a file `*.npy` that holds them.
        split: "train", "validation" or "test".
        image_range: see `from_arrays`.
    Raises: FileNotFoundError: no such file. ValueError: no whole .npz, arrays that are
        missing, and which there are, arrays of objects; what `from_arrays` refuses.

    >>> rj.datasets.from_npz("images.npz")
    Traceback (most recent call last):
    FileNotFoundError: images=images.npz: no such file
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    with _loaded("images", path, ".npz") as file:
        images, key = _array(path, file, _IMAGES, split)
        if labels is not None and labels.endswith(".npy"):
            numbers = _loaded("labels", pathlib.Path(labels), ".npy")
        else:
            names = _LABELS if labels is None else (labels,)
            numbers, _ = _array(path, file, names, split)
    found = split if split in key else ""
    return _said(path, images, numbers, found, image_range)


def from_folder(path: PathLike) -> Dataset:
    """A folder with a sub-folder of PNGs or JPEGs for each class.

    Classes are numbered in the order of the sub-folders' names, which `classes` keeps;
    where all names are numbers, they are the numbers of the classes. Images are in the
    order of class and name, [N, H, W, 1] of grey ones, [N, H, W, 3] of colours.

    Args:
        path: the folder.
    Raises: FileNotFoundError: no such folder. ValueError: no sub-folders or images,
        files of another kind, damaged ones, images of different shapes, transparent
        ones or those of 16 bits; names the first file.

    >>> rj.datasets.from_folder("photographs")
    Traceback (most recent call last):
    FileNotFoundError: images=photographs: no such folder
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"images={path}: no such folder")
    classes = sorted(entry for entry in path.iterdir() if _is_shown(entry, True))
    if not classes:
        raise ValueError(f"images={path} has no sub-folders; expected one per class")
    are_numbers = all(folder.name.isdecimal() for folder in classes)
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for number, folder in enumerate(classes):
        for file in _image_files(folder):
            images.append(_pixels(file))
            labels.append(int(folder.name) if are_numbers else number)
            if images[-1].shape != images[0].shape:
                raise ValueError(
                    f"{file} has shape {images[-1].shape}, others {images[0].shape}; "
                    "expected images of one shape; resize or convert them"
                )
    if not images:
        raise ValueError(f"images={path} has no PNG or JPEG in its sub-folders")
    data = _said(path, np.stack(images), np.array(labels), "", (0, 255))
    names = () if are_numbers else tuple(folder.name for folder in classes)
    return dataclasses.replace(data, classes=names)


def _said(
    path: pathlib.Path, images: Any, labels: Any, split: str, span: Range
) -> Dataset:
    try:
        return from_arrays(
            images, labels, name=path.name, split=split, image_range=span
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _loaded(argument: str, path: pathlib.Path, kind: str) -> Any:
    """What NumPy finds in a file: one array of a .npy, a mapping of a .npz."""
    if not path.is_file():
        raise FileNotFoundError(f"{argument}={path}: no such file")
    with path.open("rb") as start:
        is_array = start.read(len(_NPY)) == _NPY
    try:
        if kind == ".npz" and not is_array and not zipfile.is_zipfile(path):
            raise ValueError("another kind of file, or cut short")
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # Of NumPy, zipfile and what they call.
        raise ValueError(
            f"{argument}={path} cannot be read ({_reason(error)}); expected a whole "
            f"{kind} of numbers, as NumPy writes it; write or copy it again"
        ) from error
    if is_array != (kind == ".npy"):
        holds = "one array" if is_array else "several arrays"
        raise ValueError(f"{argument}={path} holds {holds}; expected a {kind}")
    return found


def _array(
    path: pathlib.Path, file: Mapping[str, Any], names: tuple[str, ...], split: str
) -> tuple[NDArray[Any], str]:
    """The first array of these names, those with the split's before those without.

    Returns: it, and under which name.
    """
    forms = (f"{{}}_{split}", f"{split}_{{}}", "{}")
    wanted = [form.format(name) for form in forms for name in names]
    key = next((name for name in wanted if name in file), None)
    if key is None:
        there = ", ".join(sorted(file)) or "nothing"
        raise ValueError(
            f"{path} has no array {' or '.join(names)}; it has {there:.200}; save both "
            "as images and labels, or say which are the labels by labels=NAME"
        )
    try:
        found = file[key]
    except _BROKEN as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path}: the array {key} holds Python objects, which are not read, as "
                "that could run code; save numbers"
            ) from error
        raise ValueError(
            f"{path}: the array {key} cannot be read ({_reason(error)}); the file is "
            "damaged; write or copy it again"
        ) from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path}: {key} is no array of NumPy; write it by numpy.savez")
    return found, key


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said[:120] if said and "pickle" not in said else "another kind of file"


def _is_shown(entry: pathlib.Path, is_folder: bool) -> bool:
    return not entry.name.startswith(".") and entry.is_dir() == is_folder


def _image_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for file in sorted(entry for entry in folder.iterdir() if _is_shown(entry, False)):
        if file.suffix.lower() not in _SUFFIXES:
            raise ValueError(
                f"{file} is no PNG or JPEG by its name; convert or remove it"
            )
        yield file


def _pixels(file: pathlib.Path) -> NDArray[np.uint8]:
    """The bytes of an image, [H, W, 1] or [H, W, 3]."""
    Image = extras.needed("PIL.Image", "data", "datasets.from_folder")
    try:
        with warnings.catch_warnings(), Image.open(file, formats=("PNG", "JPEG")) as im:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            mode, has_alpha = im.mode, "transparency" in im.info
            target = {"1": "L", "P": "RGB"}.get(mode, mode)
            made = np.asarray(im if mode == target else im.convert(target))
    except Exception as error:  # Whatever a decoder raises.
        reason = " ".join(str(error).replace(repr(str(file)), "it").split())
        raise ValueError(
            f"{file} cannot be read ({reason[:120]}); write or copy it again"
        ) from error
    if target not in ("L", "RGB") or has_alpha:
        raise ValueError(
            f"{file} is an image of mode {mode}{' with transparency' * has_alpha}; "
            "expected 8-bit grey or RGB without transparency; convert it"
        )
    return made.reshape(*made.shape[:2], -1)
