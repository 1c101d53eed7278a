"""How does a net fare under noise, blur, weather and compression?

    robust-jax corruptions --checkpoint=out/train/model.safetensors

Fifteen common corruptions in five severities, with the constants of CIFAR-10-C, made on
the fly. The mean corruption accuracy is over all of them. Prints and draws accuracy by
corruption and severity.
"""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from robust_jax import evaluate, report
from robust_jax.commands.shared import common, recording, subjects
from robust_jax.core import checks
from robust_jax.core.metrics import Proportion
from robust_jax.threats import corruptions

for _module in (common, subjects):
    flags.adopt_module_key_flags(_module)

_COUNT = flags.DEFINE_integer("count", None, "The first so many test images.")
_CORRUPTIONS = flags.DEFINE_list("corruptions", None, "Names; default: all.")

_COLUMNS = (
    report.Column("corruption", "corruption"),
    *(report.Column(f"severity_{s}", f"severity {s}") for s in corruptions.SEVERITIES),
    report.Column("mean", "mean", report.fixed(3)),
)


def main(argv: list[str]) -> None:
    """Asks the net, prints the table, draws the curves and an image in all versions."""
    names = _CORRUPTIONS.value or corruptions.names()
    for name in names:
        checks.known_name("corruption", name, corruptions.names())
    subject = subjects.given(count=_COUNT.value)
    data = subject.data
    run = recording.Run("corruptions")
    total = len(names) * len(corruptions.SEVERITIES) * len(data)
    with common.counted(total, "corruptions", "image") as bar:
        found = evaluate.corrupted_accuracy(
            subject.model,
            data.pixels(),
            data.labels,
            names,
            ids=data.ids,
            seed=common.SEED.value,
            on_items=bar.update,
        )
    run.rows = found.rows()
    clean = Proportion(int(found.clean.sum()), len(found.clean))
    run.series = {"mean_corruption_accuracy": found.mean, "clean": clean}
    run.notes.append(
        f"Mean corruption accuracy {100 * found.mean:.1f} %, clean accuracy {clean}."
    )
    subject.note_in(run)
    run.show(_COLUMNS)
    title = f"Common corruptions: {subject.name}"
    caption = f"{common.described(data)}, n = {len(data)}."
    _draw(run, found, subject.shown(data.pixels()[:1])[0], title, caption)
    run.save(title, run.notes[0], _COLUMNS)


def _draw(
    run: recording.Run,
    found: evaluate.Corrupted,
    image: np.ndarray,
    title: str,
    caption: str,
) -> None:
    if not run.can_draw():
        return
    shares = [0, *found.severities]
    clean = float(found.clean.mean())
    lines = {
        name: (shares, [100 * clean, *(100 * r.mean(axis=1)).tolist()])
        for name, r in zip(found.names, found.right, strict=True)
    }
    path = run.figure("severities", "Accuracy against severity", caption)
    report.plots.curves(path, lines, title, "severity", "accuracy [%]")
    key, first = jax.random.key(common.SEED.value), jnp.asarray(image)
    rows = [
        (name, [corruptions.corrupt(name, key, first, s) for s in found.severities])
        for name in found.names
    ]
    path = run.figure("images", "The first image, severity 1 to 5", caption)
    report.plots.image_rows(
        path,
        [(name, np.stack([np.asarray(i) for i in made])) for name, made in rows],
        "Common corruptions, severity 1 to 5",
    )
