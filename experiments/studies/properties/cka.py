"""Do nets of other seeds, untrained and robust ones have the same layers?"""

import numpy as np

from experiments.studies.properties.nets import Net
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_MOST = 2_000  # images


def cka(setting: Setting, run: recording.Run) -> dict[str, float]:
    """Layers against layers of the CNN: other seed, untrained, robust."""
    nets, images = setting.nets, setting.shown(_MOST).pixels()
    first = layers(nets["cnn"], images)
    rows: list[dict[str, str]] = []
    values = {}
    for other in (nets["cnn_again"], nets.untrained("cnn"), nets["cnn_robust"]):
        second = layers(other, images)
        matrix = np.array(
            [[analysis.cka(x, y) for y in second.values()] for x in first.values()]
        )
        title = f"Similarity of layers: {nets['cnn'].title} and {other.title}"
        path = run.figure(
            f"cka_{len(rows)}", title, "Linear CKA; rows: the former's layers."
        )
        report.plots.heat_map(path, matrix, list(first), list(second), title)
        rows.append(_row(other.title, first, matrix))
        values[other.title] = matrix
    hidden = first["dense"]
    turn = analysis.random_rotation(hidden.shape[1], setting.seed)
    rotated = abs(analysis.cka(hidden, hidden @ turn) - 1)
    run.table(
        "Similarity of layers (linear CKA)",
        f"The CNN's layers beside the same layers of other nets; {len(images)} test "
        f"images. A random rotation changes the last hidden layer's by {rotated:.0e}.",
        rows,
    )
    seeds, untrained, _ = values.values()
    last = len(first) - 1
    off = np.delete(seeds[last], last).max()
    return {
        "rotation's change": rotated,
        "same layer less best other": float(seeds[last, last] - off),
        "trained with untrained": float(untrained[last, last]),
        "other seed less untrained": float(seeds[last, last] - untrained[last, last]),
    }


def layers(
    net: Net, images: np.ndarray, *, last: bool = False
) -> dict[str, np.ndarray]:
    """Outputs of each hidden layer, or of the last, after its nonlinearity, [N, D]."""
    shape = images.shape[1:]
    names = analysis.layer_names(net.module, shape)[1:]
    outputs = [f"conv {i + 1}" for i in range(len(names) - 1)] + ["dense"]
    if last:
        names, outputs = names[-1:], outputs[-1:]
    functions = (
        analysis.layer_inputs(net.module, net.variables, name, shape) for name in names
    )
    return {
        output: analysis.features(function, images)
        for output, function in zip(outputs, functions, strict=True)
    }


def _row(name: str, first: dict[str, np.ndarray], matrix: np.ndarray) -> dict[str, str]:
    diagonal = np.diag(matrix)
    cells = {layer: f"{v:.3f}" for layer, v in zip(first, diagonal, strict=True)}
    return {"beside": name} | cells
