"""Does a net use the concept of a hole? Kim et al. (2018)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties import cnn_layers
from experiments.studies.properties.nets import Net
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, report, train
from robust_jax.commands.shared import recording
from robust_jax.datasets import Dataset

_SHOWN, _SET, _SETS = 2_000, 60, 50
_PATCH = 3  # pixels a side of the planted concept


def tcav(setting: Setting, run: recording.Run) -> dict[str, float]:
    """A planted concept, then the hole, of each class, in the last hidden layer."""
    values = _planted(setting, run)
    data, net = setting.shown(_SHOWN), setting.nets["pooled"]
    images, least = data.pixels(), 1 if setting.is_small else 8
    names, masks = analysis.stroke_concepts(images, data.labels)
    hole = masks[..., names.index("hole")].sum(axis=(1, 2))
    rng = setting.rng("tcav")
    shown = rng.permutation(np.flatnonzero(hole >= least))[:_SET]
    rows = []
    for label in range(10):
        own = images[data.labels == label][:100]
        found = _tested(net, images[shown], images, own, label, rng)
        rows.append(
            {
                "class": label,
                "share with a hole": float(
                    (hole[data.labels == label] >= least).mean()
                ),
                "TCAV": found.score,
                "random sets": found.chance.mean(),
                "p": found.p,
                "rank": found.rank,
            }
        )
    run.table(
        "Does a logit rise towards the concept of a hole?",
        f"Share of a class's test images whose logit rises along the concept, in the "
        f"last hidden layer of the CNN with pooling; {_SETS} random sets. p: of "
        "the paper's t test, which counts one concept's scores as independent; rank: "
        "share of random sets as far from one half, which in this layer many are.",
        rows,
    )
    title = "The concept of a hole, by class"
    lines = {
        "TCAV": (range(10), [row["TCAV"] for row in rows]),
        "random sets": (range(10), [row["random sets"] for row in rows]),
        "images with a hole": (range(10), [row["share with a hole"] for row in rows]),
    }
    path = run.figure("tcav", title, "Shares; 0, 6, 8 and 9 have holes.")
    report.plots.curves(path, lines, title, "class", "share")
    return values


def _planted(setting: Setting, run: recording.Run) -> dict[str, float]:
    """A net whose answer is whether a square is there."""
    recipe = setting.nets.recipe("relu100").changed({"epochs": 5})
    rng = setting.rng("planted")
    data = _marked(setting.training.take(np.arange(min(10_000, len(setting.training)))),
                   rng)  # fmt: skip
    done = train.fit(recipe, data, data.take(np.arange(50)), seed=setting.seed)
    net = Net("planted", done.module, done.variables, {})
    shown = _marked(setting.shown(_SHOWN), rng)
    images, is_marked = shown.pixels(), shown.labels == 1
    own = images[is_marked]
    found = _tested(net, own[:_SET], images[~is_marked], own[_SET:][:100], 1, rng)
    run.table(
        "A net trained to tell whether a square is in the corner",
        f"Error {100 * net.error(shown):.1f} %. TCAV of the square, which has to be "
        f"found, and the mean of {_SETS} random concepts.",
        [{"the square": found.score, "random": found.chance.mean(), "p": found.p}],
    )
    return {
        "planted net, the square": found.score,
        "planted net, random concepts": float(found.chance.mean()),
    }


def _marked(data: Dataset, rng: np.random.Generator) -> Dataset:
    images, labels = data.images.copy(), rng.integers(0, 2, len(data))
    images[labels == 1, :_PATCH, :_PATCH] = data.scale
    return dataclasses.replace(data, images=images, labels=labels.astype(np.int32))


def _tested(net, concept, pool, own, label, rng):
    shape = own.shape[1:]
    layer = analysis.layer_names(net.module, shape)[-2]
    outputs = cnn_layers.active(
        analysis.layer_outputs(net.module, net.variables, layer, shape)
    )
    last = net.variables["params"][analysis.layer_names(net.module, shape)[-1]]
    run = analysis.from_layer(net.module, net.variables, layer, shape)

    @jax.jit
    def steep(images):
        width = len(last["kernel"])
        return jax.grad(lambda shift: run(images, shift)[1][:, label].sum())(
            jnp.zeros((len(images), width))
        )

    return analysis.tcav(
        analysis.features(outputs, concept),
        analysis.features(outputs, pool),
        np.asarray(steep(own)),
        rng,
        sets=_SETS,
    )
