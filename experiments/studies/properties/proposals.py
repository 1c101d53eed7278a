"""Units as detectors of parts of canvases. Girshick et al. (2014), Sec. 3.1."""

import numpy as np

from experiments.studies.properties import canvases, cnn_layers
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_UNITS, _TOP = 6, 16
_LAYERS = ((11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2))
_CAFFENET = analysis.receptive_field(analysis.Window(*layer) for layer in _LAYERS)
_OVERLAP = 0.3
_PIXELS = 90  # Of an image on a sheet; beyond, lines would be lost.


def proposals(setting: Setting, run: recording.Run) -> dict[str, float]:
    """The regions that excite single units most, with their field and value."""
    net, shape = setting.nets["pooled"], setting.test.images.shape[1:]
    rng = setting.rng("proposals")
    drawn = canvases.made(setting.test, 100 if setting.is_small else 60, rng)
    side = shape[0]
    sizes = (side * 3 // 4, side, side * 3 // 2)
    count, height, width, _ = drawn.images.shape
    boxes = analysis.propose(count, height, width, sizes, side // 4)
    pool = cnn_layers.active(cnn_layers.of_cnn(net, shape)["pool2"])
    channels = cnn_layers.most_varying(pool, setting.shown(500).pixels(), _UNITS)
    middle, maps = side // 8, side // 4
    depth = net.module.features[-1]
    units = [(middle * maps + middle) * depth + int(c) for c in channels]
    ranked = analysis.rank_units(
        pool, drawn.images, boxes, units, side, top=_TOP, most=_OVERLAP
    )
    field = analysis.receptive_field(cnn_layers.WINDOWS["pool2"])
    _draw(run, drawn, ranked, channels, field.box(middle, middle, side, side), side)
    seen = [canvases.shown(drawn.owners, r.boxes) for r in ranked]
    inked = np.flatnonzero(canvases.shown(drawn.owners, boxes) >= 0)
    shuffled = [
        canvases.shown(drawn.owners, boxes[rng.choice(inked, _TOP)]) for _ in ranked
    ]
    rows = [_row(*each) for each in zip(channels, ranked, seen, shuffled, strict=True)]
    run.table(
        "Regions that excite single units most",
        f"Channels of pool2 at the middle of its map; {len(boxes):,} regions of "
        f"{count} canvases, after suppression at an overlap of {_OVERLAP:g}. Purity: "
        "share of the commonest digit among the regions' digits. The paper shows its "
        "regions without a number.",
        rows,
    )
    means = [np.mean([purity(one) for one in kind]) for kind in (seen, shuffled)]
    return {
        "field of CaffeNet's pool5": float(_CAFFENET.size),
        "stride of CaffeNet's pool5": float(_CAFFENET.stride),
        "largest overlap kept": max(_largest(found.boxes) for found in ranked),
        "purity less random regions'": float(means[0] - means[1]),
    }


def _row(channel, found, own, other):
    return {
        "unit": f"channel {channel}",
        "regions": len(found.boxes),
        "purity": purity(own),
        "of as many random regions": purity(other),
        "commonest digit": int(np.bincount(own[own >= 0]).argmax()),
    }


def purity(labels: np.ndarray) -> float:
    """The share of the commonest label; regions without a digit count as none."""
    digits = labels[labels >= 0]
    return float(np.bincount(digits).max() / len(labels)) if len(digits) else 0.0


def _largest(boxes: np.ndarray) -> float:
    """The largest overlap between regions of one image."""
    most = 0.0
    for i, box in enumerate(boxes):
        others = boxes[:i][boxes[:i, 0] == box[0]]
        if len(others):
            most = max(most, analysis.overlap(others[:, 1:], box[1:]).max())
    return float(most)


def _draw(run, drawn, ranked, channels, field, side):
    rows, texts = [], []
    for channel, found in zip(channels, ranked, strict=True):
        parts = analysis.crops(drawn.images, found.boxes, side)
        rows.append((f"channel {channel}", framed(parts, field)))
        texts.append([f"{value:.2f}" for value in found.values])
    title = "Regions that excite single units of pool2 most"
    about = (
        "Frame: what the unit sees of the region; number: its activity over its "
        "largest. After Girshick et al., Fig. 4."
    )
    path = run.figure("proposals", title, about)
    report.plots.image_rows(path, rows, title, texts=texts)


def framed(images: np.ndarray, box: analysis.Box) -> np.ndarray:
    """Images, enlarged as far as a sheet has pixels, with a thin white frame."""
    times = max(1, _PIXELS // images.shape[1])
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    top, left, bottom, right = (times * n for n in box)
    large[:, [top, bottom - 1], left:right] = 1
    large[:, top:bottom, [left, right - 1]] = 1
    return large
