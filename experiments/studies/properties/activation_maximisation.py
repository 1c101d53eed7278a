"""Images that excite a class, a unit or a direction most; plain and robust nets."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording
from robust_jax.core.types import Array

_COPIES, _UNITS = 8, 6
_JUDGES = ("fc200", "pooled")  # Nets that had no part in it.
_PIXELS = analysis.Search("pixel", decay=0.5, roughness=5.0)
_WAVES = analysis.Search(diversity=0.5)


def activation_maximisation(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Classes by two parametrisations, judged by other nets; units and directions."""
    key, shape = jax.random.key(setting.seed), setting.test.images.shape[1:]
    agreed: dict[str, float] = {}
    rows, sheets = [], []
    for name in ("cnn", "cnn_robust"):
        net = setting.nets[name]
        for kind, search in (("waves", _WAVES), ("pixels", _PIXELS)):
            made = _made(net.logits_fn, jnp.eye(10), shape, key, search)
            row: dict[str, object] = {"net": net.title, "moved": kind}
            for judge in _JUDGES:
                share = _agreement(setting, judge, made)
                row[f"as meant by {setting.nets[judge].title}, %"] = 100 * share
                agreed[f"{name} {kind} {judge}"] = share
            rows.append(row)
            sheets.append((f"{net.title}: {kind}", made[:, 0]))
    run.table(
        "Images made for the classes of a net, seen by other nets",
        f"Share of {10 * _COPIES} images, {_COPIES} for each class, that a net which "
        "had no part in it takes for that class. Moved: what gradient ascent moves, "
        "the Fourier coefficients or the pixels. The logit is what rises.",
        rows,
    )
    title = "Images that excite the classes 0 to 9 most"
    path = run.figure(
        "activation_maximisation", title, f"One of the {_COPIES} of each."
    )
    report.plots.image_rows(path, sheets, title, columns=[*"0123456789"])
    _directions(setting, run, key)
    means = [
        np.mean([v for k, v in agreed.items() if k.split()[0] == name])
        for name in ("cnn", "cnn_robust")
    ]
    return {"agreement, robust less plain": float(means[1] - means[0])}


def _made(
    feature_fn: Callable[[Array], Array],
    directions: Array,
    shape: tuple[int, ...],
    key: Array,
    search: analysis.Search,
) -> np.ndarray:
    height, width, channels = shape
    run = jax.jit(
        lambda directions, key: analysis.maximise(
            feature_fn, directions, (height, width, channels), key, search,
            copies=_COPIES,
        )
    )  # fmt: skip
    return np.asarray(run(directions, key))


def _agreement(setting: Setting, judge: str, made: np.ndarray) -> float:
    answers = analysis.predictor(setting.nets[judge].logits_fn)(
        made.reshape(-1, *made.shape[2:])
    )
    return float((answers == np.repeat(np.arange(10), made.shape[1])).mean())


def _directions(setting: Setting, run: recording.Run, key: Array) -> None:
    """Units of the last hidden layer and random directions of it.

    Before the ReLU: behind it a unit that grey noise does not excite has no gradient.
    """
    net, shape = setting.nets["pooled"], setting.test.images.shape[1:]
    hidden = cnn_layers.of_cnn(net, shape)["fc1"]
    found = analysis.features(hidden, setting.shown(500).pixels())
    units = np.argsort(-found.std(axis=0), kind="stable")[:_UNITS]
    chosen = jnp.eye(found.shape[1])[units]
    random = analysis.random_directions(key, _UNITS, found.shape[1])
    rows = []
    for kind, along in (("unit", chosen), ("direction", random)):
        made = _made(lambda x: hidden(x[None])[0], along, shape, key, _WAVES)
        names = units if kind == "unit" else range(_UNITS)
        rows += [(f"{kind} {n}", images) for n, images in zip(names, made, strict=True)]
    title = "Images that excite units and random directions of the last hidden layer"
    about = f"{_COPIES} of each, driven apart by their mutual cosine."
    report.plots.image_rows(run.figure("amax_units", title, about), rows, title)
