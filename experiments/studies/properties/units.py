"""Do units mean more than random directions? Szegedy et al. (2014), Sec. 3."""

import itertools
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.studies.properties import image_sheets
from experiments.studies.properties.nets import Net
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_K = 8
_DIRECTIONS = 2_000
_MARGIN = 0.05  # of purity, within which units and directions are alike
_COLUMNS = (
    report.Column("features", "features"),
    report.Column("width", "units"),
    report.Column("units", "purity of units", report.fixed(3)),
    report.Column("random", "of directions", report.fixed(3)),
    report.Column("bits", "entropy, units", report.fixed(2)),
    report.Column("random_bits", "directions", report.fixed(2)),
    report.Column("auc", "AUC [95 %]"),
    report.Column("p", "p", lambda p: f"{p:.1e}"),
    report.Column("no_lower", "directions no lower by .05"),
    report.Column("alike", "alike within .05"),
)
_NETS = ("fc100", "fc200", "relu100", "cnn")


class _Layer(NamedTuple):
    name: str
    features: np.ndarray  # [N, D]


def units(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Purity of the images along units and along random directions, with controls."""
    images, labels = setting.test.pixels(), setting.test.labels
    pixels = _Layer("pixels", images.reshape(len(images), -1))
    rows, chance = [_row(setting, pixels, labels)], _chance(setting, labels)
    values: dict[str, float] = {}
    for name in _NETS:
        net = setting.nets[name]
        shown = {"trained": net, "untrained": setting.nets.untrained(name)}
        last = {}
        for state, one in shown.items():
            for layer in _hidden(one, images):
                last[state] = _row(setting, layer, labels)
                rows.append(last[state])
        logits = _row(setting, _logits(net, images), labels)
        rows.append(logits)
        lead = last["trained"]["random"] - last["trained"]["units"]
        gain = min(
            last["trained"][part] - last["untrained"][part]
            for part in ("units", "random")
        )
        values[f"{name}: directions less units"] = lead
        values[f"{name}: gain by training"] = gain
        values[f"{name}: AUC of logits"] = logits["auc_value"]
        values[f"{name}: AUC untrained"] = last["untrained"]["auc_value"]
    values |= _over_nets(values)
    run.table(
        "Units and random directions",
        f"Label purity of the {_K} images that go furthest along each unit, and along "
        f"{_DIRECTIONS} random directions, of {len(images)} test images; chance: "
        f"{chance:.3f}. AUC: odds that a unit is purer than a direction.",
        rows,
        _COLUMNS,
    )
    last_hidden = _hidden(setting.nets["cnn"], images)[-1]
    image_sheets.draw(run, last_hidden.features, images, setting.seed)
    return values


def _over_nets(values: dict[str, float]) -> dict[str, float]:
    """The least favourable of the nets' values, by what gates look at."""

    def of(part: str) -> list[float]:
        return [values[f"{name}: {part}"] for name in _NETS]

    least = ("directions less units", "gain by training", "AUC of logits")
    found = {part: min(of(part)) for part in least}
    untrained = of("AUC untrained")
    return found | {
        "AUC untrained": max(untrained),
        "least AUC untrained": min(untrained),
    }


def _hidden(net: Net, images: np.ndarray) -> list[_Layer]:
    """The hidden layers after their nonlinearity; of trained nets before it, too."""
    shape = images.shape[1:]
    names = analysis.layer_names(net.module, shape)
    found = []
    for below, name in itertools.pairwise(names):
        if not below.startswith("Dense"):
            continue  # Maps of places: `dissect` looks at those.
        before = analysis.layer_outputs(net.module, net.variables, below, shape)
        after = analysis.layer_inputs(net.module, net.variables, name, shape)
        shown = {"before the nonlinearity": before, "": after}
        if not net.history:
            del shown["before the nonlinearity"]
        for part, function in shown.items():
            label = f"{net.title}, {below} {part}".strip()
            found.append(_Layer(label, analysis.features(function, images)))
    return found


def _logits(net: Net, images: np.ndarray) -> _Layer:
    return _Layer(
        f"{net.title}, logits", analysis.features(jax.vmap(net.logits_fn), images)
    )


def _row(setting: Setting, layer: _Layer, labels: np.ndarray) -> dict[str, Any]:
    width = layer.features.shape[1]
    key = jax.random.fold_in(jax.random.key(setting.seed), width)
    directions = analysis.random_directions(key, _DIRECTIONS, width)
    own, along = (_top(layer.features, d) for d in (None, np.asarray(directions)))
    mine, theirs = (analysis.purity(labels, top, 10) for top in (own, along))
    found = analysis.compare(mine, theirs, seed=setting.seed)
    low, high = found.auc_interval
    return {
        "features": layer.name,
        "width": width,
        "units": found.first,
        "random": found.second,
        "bits": float(analysis.entropy(labels, own, 10).mean()),
        "random_bits": float(analysis.entropy(labels, along, 10).mean()),
        "auc_value": found.auc,
        "auc": f"{found.auc:.2f} [{low:.2f}, {high:.2f}]",
        "p": found.p,
        "no_lower": found.difference_interval[1] < _MARGIN,
        "alike": found.is_equivalent(_MARGIN),
    }


def _top(features: np.ndarray, directions: np.ndarray | None) -> analysis.TopInputs:
    return analysis.top_inputs(lambda x: x, features, directions, _K)


def _chance(setting: Setting, labels: np.ndarray) -> float:
    rng = setting.rng("units")
    drawn = np.stack([rng.permutation(len(labels))[:_K] for _ in range(_DIRECTIONS)])
    top = analysis.TopInputs(drawn, np.zeros(drawn.shape, np.float32))
    return float(analysis.purity(labels, top, 10).mean())
