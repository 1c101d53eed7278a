"""Are directions of a dictionary purer than units? Planted, then of a layer."""

import jax
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_TRUE, _WIDTH, _ACTIVE = 64, 32, 3  # directions in superposition
_ATOMS, _K = 256, 8


def sparse_autoencoder(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Recovery of planted directions; fit and purity on the last hidden layer."""
    return _planted(setting, run) | _of_layer(setting, run)


def _planted(setting: Setting, run: recording.Run) -> dict[str, float]:
    rng, key = setting.rng("sae"), jax.random.key(setting.seed)
    truth = rng.normal(size=(_TRUE, _WIDTH))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    code = np.zeros((20_000, _TRUE))
    for row in code:
        row[rng.choice(_TRUE, _ACTIVE, replace=False)] = rng.uniform(0.5, 1.5, _ACTIVE)
    features = (code @ truth).astype(np.float32)
    bases = {
        "64 atoms": _trained(features, _TRUE, _ACTIVE, key).atoms,
        "128 atoms": _trained(features, 2 * _TRUE, _ACTIVE, key).atoms,
        "axes": np.eye(_WIDTH),
        "128 random directions": rng.normal(size=(2 * _TRUE, _WIDTH)),
    }
    means = {n: float(analysis.max_cosines(truth, b).mean()) for n, b in bases.items()}
    run.table(
        "Directions in superposition, recovered",
        f"{_TRUE} directions in {_WIDTH} coordinates, {_ACTIVE} of them in each of "
        "20,000 vectors. Mean over them of the largest |cosine| with a direction of "
        "the basis (MMCS).",
        [{"basis": name, "MMCS": value} for name, value in means.items()],
    )
    return {
        "planted, MMCS of as many atoms": means["64 atoms"],
        "planted, MMCS of twice as many": means["128 atoms"],
        "planted, MMCS of axes": means["axes"],
    }


def _of_layer(setting: Setting, run: recording.Run) -> dict[str, float]:
    net, shape = setting.nets["pooled"], setting.test.images.shape[1:]
    layer = cnn_layers.active(cnn_layers.of_cnn(net, shape)["fc1"])
    training = setting.training.take(np.arange(min(20_000, len(setting.training))))
    seen = analysis.features(layer, training.pixels())
    images, labels = setting.test.pixels(), setting.test.labels
    held = analysis.features(layer, images)
    rows, values = [], {}
    for active in (4, 8):
        key = jax.random.fold_in(jax.random.key(setting.seed), active)
        made = _trained(seen, _ATOMS, active, key)
        fit = analysis.dictionary_fit(made, held)
        code = np.asarray(made.code(held))
        alive = np.flatnonzero((code > 0).sum(axis=0) >= _K)
        rows.append(
            {
                "directions": f"{_ATOMS} atoms, {active} active",
                "unexplained": fit.unexplained,
                "active": fit.active,
                "dead": fit.dead,
                "purity": _purity(code[:, alive], labels),
            }
        )
        values[f"variance unexplained by {active} atoms"] = fit.unexplained
        if active == 4:
            _draw(run, images, code[:, alive[:8]], alive[:8])
    random = analysis.random_directions(
        jax.random.key(setting.seed), _ATOMS, held.shape[1]
    )
    units = held[:, held.max(axis=0) > 0]
    rows.append({"directions": "units", "purity": _purity(units, labels)})
    along = held @ np.asarray(random).T
    rows.append({"directions": "random", "purity": _purity(along, labels)})
    run.table(
        "A dictionary of the last hidden layer of the CNN with pooling",
        f"Unexplained: share of the variance of {len(images):,} test images; active: "
        f"atoms of a code; dead: share of atoms never used; purity of the {_K} "
        "furthest images, of atoms that at least as many have.",
        rows,
    )
    return values


def _trained(features, size, active, key):
    return analysis.train_dictionary(features, size, active, key, steps=4_000)


def _purity(scores: np.ndarray, labels: np.ndarray) -> float:
    top = analysis.top_inputs(lambda x: x, scores, None, _K)
    return float(analysis.purity(labels, top, 10).mean())


def _draw(run, images, code, atoms):
    top = analysis.top_inputs(lambda x: x, code, None, _K)
    rows = [
        (f"atom {a}", images[row]) for a, row in zip(atoms, top.indices, strict=True)
    ]
    title = "Images that have most of an atom"
    path = run.figure(
        "sparse_autoencoder", title, "Rows: atoms of the dictionary of 4 active."
    )
    report.plots.image_rows(path, rows, title)
