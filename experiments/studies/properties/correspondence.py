"""Does a net relate the same part of images? Zeiler & Fergus (2014), Sec. 4.3.

References: Zeiler & Fergus, ECCV 2014. Differs from it in: a control, mixed classes at
    one place.
"""

from collections.abc import Callable

import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis
from robust_jax.commands.shared import recording
from robust_jax.core.closures import values_of_now
from robust_jax.datasets import Dataset

_GROUPS, _SIZE = 60, 5  # images of a group
_INK = 0.25  # of the mean image, under a part
_PAPERS = "0.067 to 0.079 for eyes and nose of dogs, 0.107 for random places"

Places = np.ndarray  # [n, 2], top and left of each image's cover


def correspondence(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Covers over the same part, random places, and, as a control, mixed classes."""
    size = 2 if setting.is_small else 7
    net, shape = setting.nets["pooled"], setting.test.images.shape[1:]
    some = np.zeros((2 * _SIZE, *shape), np.float32)
    layers = {
        name: values_of_now(cnn_layers.active(features_fn), some)
        for name, features_fn in cnn_layers.of_cnn(net, shape).items()
        if name in ("pool2", "fc1")
    }
    rng = setting.rng("correspond")
    kinds = {"same part": _same, "random places": _random, "mixed classes": _mixed}
    table: dict[str, dict[str, list[float]]] = {
        kind: {name: [] for name in layers} for kind in kinds
    }
    for _ in range(_GROUPS):
        for kind, draw in kinds.items():
            images, places = draw(setting.test, size, rng)
            covered = images.copy()
            for image, (top, left) in zip(covered, places, strict=True):
                image[top : top + size, left : left + size] = 0
            for name, features_fn in layers.items():
                both = np.concatenate([images, covered])
                whole, less = np.split(
                    analysis.features(features_fn, both, tile=2 * _SIZE), 2
                )
                table[kind][name].append(analysis.correspondence(whole, less))
    means = {
        kind: {name: float(np.mean(found)) for name, found in by_layer.items()}
        for kind, by_layer in table.items()
    }
    _tell(setting, run, table, size)
    same = means["same part"]
    values = {
        f"same part / random places, {name}": same[name] / means["random places"][name]
        for name in layers
    }
    mixed = same["fc1"] / means["mixed classes"]["fc1"]
    return values | {"same part / mixed classes, fc1": mixed}


def _tell(setting, run, table, size):
    papers = f" The paper's, of its layer 5: {_PAPERS}." if setting.paper else ""
    run.table(
        "Change of features when a part is covered, compared between images",
        f"Share of features whose change differs in sign; {_GROUPS} groups of {_SIZE} "
        f"test images, covers of {size}x{size} px. Same part: one place in images of "
        "one class. Mixed classes: one place, any class; the paper has no such control."
        + papers,
        [
            {"covered": kind}
            | {
                name: f"{np.mean(v):.3f} ± {np.std(v) / _GROUPS**0.5:.3f}"
                for name, v in by_layer.items()
            }
            for kind, by_layer in table.items()
        ],
    )


Draw = Callable[[Dataset, int, np.random.Generator], tuple[np.ndarray, Places]]


def _same(data, size, rng):
    label = rng.integers(data.num_classes)
    which = rng.choice(np.flatnonzero(data.labels == label), _SIZE, replace=False)
    return _covered_at_one_place(data.take(which).pixels(), size, rng)


def _mixed(data, size, rng):
    which = rng.choice(len(data), _SIZE, replace=False)
    return _covered_at_one_place(data.take(which).pixels(), size, rng)


def _random(data, size, rng):
    images, _ = _same(data, size, rng)
    places = [_inked(image, size, rng) for image in images]
    return images, np.array(places)


def _covered_at_one_place(images, size, rng):
    place = _inked(images.mean(axis=0), size, rng)
    return images, np.tile(place, (_SIZE, 1))


def _inked(image, size, rng):
    """A random place with ink, or the one with the most."""
    ink = analysis.ink_under(image, size)
    places = np.argwhere(ink > _INK)
    if not len(places):
        return np.unravel_index(ink.argmax(), ink.shape)
    return places[rng.integers(len(places))]
