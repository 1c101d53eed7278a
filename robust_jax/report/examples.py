"""Images that attacks changed, out of what an evaluation left."""

import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from robust_jax.report.gathering import Run

_NAMES = ("x", "x_adv", "winner", "predicted", "predicted_adv")
_BORDER = 1e-6  # By so much pixels may leave [0, 1].


class Pairs(NamedTuple):
    """Clean and adversarial images, channels last, with the answers to them."""

    clean: NDArray[Any]  # [M, H, W, C], C 1 or 3, values in [0, 1]
    adversarial: NDArray[Any]
    before: list[Any]  # classes
    after: list[Any]


def pairs_of(runs: Sequence[Run]) -> Pairs:
    """The examples that a stage broke, in the caller's order.

    Raises: ValueError: several runs; one without images, or in which nothing broke.
    """
    if len(runs) != 1:
        raise ValueError(f"runs: {len(runs)}; expected one for kind='examples'")
    run = runs[0]
    arrays = _arrays_of(run)
    lost = np.flatnonzero(arrays["winner"] >= 0)
    if not len(lost):
        _refuse("no example broke")
    series = run.record["series"]
    evaluation = series.get("evaluation")
    said = evaluation.get("origin") if isinstance(evaluation, Mapping) else None
    is_first = isinstance(said, Mapping) and said.get("layout") == "CHW"
    images = [arrays[name][lost] for name in ("x", "x_adv")]
    if is_first:
        images = [np.moveaxis(some, 1, -1) for some in images]
    clean, adversarial = (_checked(some) for some in images)
    classes: Any = series.get("classes")
    is_known = isinstance(classes, list | tuple) and _most(arrays) < len(classes)
    before, after = (
        [classes[k] if is_known else int(k) for k in arrays[name][lost]]
        for name in ("predicted", "predicted_adv")
    )
    return Pairs(clean, adversarial, before, after)


def _arrays_of(run: Run) -> Mapping[str, NDArray[Any]]:
    if hasattr(run.result, "arrays"):
        found: Mapping[str, NDArray[Any]] = run.result.arrays()
    elif run.folder is None:
        _refuse("a record by itself has no images")
    else:
        found = _read(run.folder / "adversarial.npz")
    missing = [name for name in _NAMES if name not in found]
    if missing:
        _refuse(
            f"its arrays lack {', '.join(missing)}, which an older version left out"
        )
    if len({len(found[name]) for name in _NAMES}) > 1:
        _refuse("its arrays are not of the same examples")
    return found


def _most(arrays: Mapping[str, NDArray[Any]]) -> int:
    """The largest class that was answered."""
    return int(max(arrays[name].max() for name in ("predicted", "predicted_adv")))


def _read(path: pathlib.Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in _NAMES if name in kept}
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        _refuse(f"{path} cannot be read ({error})")


def _checked(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        _refuse(
            f"its examples of shape {images.shape[1:]} are no images [H, W, 1 or 3]"
        )
    if images.min() < -_BORDER or images.max() > 1 + _BORDER:
        _refuse(f"its pixels are from {images.min():.4g} to {images.max():.4g}")
    return images.clip(0, 1)


def _refuse(why: str) -> NoReturn:
    raise ValueError(
        f"kind='examples': {why}; expected a report, or the folder of an evaluation of "
        "images in [0, 1]"
    )
