"""Are the factors of variation disentangled across the coordinates of a layer?"""

from typing import Any

import jax
import numpy as np

from experiments.studies.properties.cka import layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_MOST = 2_000  # images
_DIRECTIONS = 2_000
_COLUMNS = (
    report.Column("features", "features"),
    report.Column("factor", "factor"),
    report.Column("unit", "best unit", report.fixed(3)),
    report.Column("direction", "best of as many directions", report.fixed(3)),
    report.Column("layer", "whole layer", report.fixed(3)),
    report.Column("units", "mean of units", report.fixed(3)),
    report.Column("directions", "of directions", report.fixed(3)),
    report.Column("auc", "AUC [95 %]"),
)


def factors(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Shares of variance of shift, rotation, stroke width and class explained."""
    data = setting.shown(_MOST)
    rng = setting.rng("factors")
    order = rng.permutation(len(data))
    images, labels = data.pixels()[order], data.labels[order]
    pixels = 1.0 if setting.is_small else 3.0
    varied = {
        "shift": analysis.shifted(images, pixels, rng),
        "rotation": analysis.rotated(images, 30, rng),
        "stroke width": analysis.thickened(images, pixels / 3, rng),
        "class": analysis.Varied(images, np.eye(10)[labels]),
    }
    rows = []
    for factor, (shown, amount) in varied.items():
        rows += [
            {"features": name, "factor": factor} | _row(setting, found, amount)
            for name, found in _features(setting, shown).items()
        ]
    run.table(
        "Factors of variation in single coordinates",
        "Share of a factor's variance (R^2) that one coordinate explains linearly: "
        "the best unit, the best of as many random directions; and that all explain "
        f"of unseen images. {len(data)} test images, each changed by a random amount: "
        f"shift within {pixels:g} px, rotation within 30 degrees, stroke width within "
        f"{pixels / 3:.1g} px a side. Disentangled would be a best unit near the "
        "whole layer and above the directions. AUC: units against 2,000 directions.",
        rows,
        _COLUMNS,
    )
    return {}


def _features(setting: Setting, images: np.ndarray) -> dict[str, np.ndarray]:
    found = {"pixels": images.reshape(len(images), -1)}
    for net in (setting.nets["cnn"], setting.nets.untrained("cnn")):
        dense = layers(net, images, last=True)["dense"]
        found[f"{net.title}, last hidden layer"] = dense
    return found


def _row(setting: Setting, found: np.ndarray, amount: np.ndarray) -> dict[str, Any]:
    width = found.shape[1]
    key = jax.random.fold_in(jax.random.key(setting.seed), width)
    directions = np.asarray(analysis.random_directions(key, _DIRECTIONS, width))
    units = analysis.explained(found, amount)
    along = analysis.explained(found @ directions.T, amount)
    compared = analysis.compare(units, along, seed=setting.seed)
    low, high = compared.auc_interval
    return {
        "unit": float(units.max()),
        "direction": float(along[:width].max()),
        "layer": analysis.explained_by_all(found, amount),
        "units": compared.first,
        "directions": compared.second,
        "auc": f"{compared.auc:.2f} [{low:.2f}, {high:.2f}]",
    }
