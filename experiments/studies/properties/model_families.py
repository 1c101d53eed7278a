"""Do models of other kinds err on what was made for nets by modern attacks?"""

from typing import Any

from experiments.studies.properties import sklearn_models
from experiments.studies.properties.nets import TITLES
from experiments.studies.properties.pgd import strongest
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, attacks, threats
from robust_jax.commands.shared import recording
from robust_jax.core.types import Attack


def between_kinds(setting: Setting, run: recording.Run) -> None:
    """PGD and MI-DI for three nets, shown to other nets, kernels, neighbours, trees."""
    data = setting.shown(200 if setting.is_small else 500)
    threat = threats.Linf(setting.eps)
    names = ("fc100", "cnn", "resnet")
    sources = {TITLES[name]: setting.nets[name].logits_fn for name in names}
    again = setting.nets["cnn_again"]
    kinds = {again.title: analysis.predictor(again.logits_fn)}
    kinds |= sklearn_models.trained(setting.training, setting.seed)
    steps, step = 20, 0.1
    modern = {
        "PGD": attacks.pgd(steps, step),
        "MI-DI": attacks.mim(steps, step, gradient=attacks.input_diversity()),
    }

    def craft_by(attack: Attack) -> analysis.CraftFn:
        return lambda logits_fn, images, labels: strongest(
            attack, logits_fn, threat, images, labels, setting.seed
        )

    crafts = {name: craft_by(attack) for name, attack in modern.items()}
    found = analysis.transfer_matrix(
        sources, crafts, data.pixels(), data.labels, targets=kinds, equal_noise=True,
        seed=setting.seed,
    )  # fmt: skip
    run.table(
        "Transfer to models of other kinds",
        f"Error in per cent of each model (columns) under Linf {setting.eps:g}, made "
        f"for the net of the row, on the {found.matrix()[0][0].n} images that all "
        "models get right. MI-DI: momentum and input diversity.",
        rows_of(found, True),
    )


def rows_of(found: analysis.Transfer, common: bool) -> list[dict[str, Any]]:
    """A matrix of transfer as rows of a table, in per cent."""
    rows = []
    for row, cells in zip(found.rows, found.matrix(common=common), strict=True):
        line = {"made for": name_of(row), "distortion": f"{row.distortion:.3f}"}
        texts = [f"{100 * cell.value:.1f}" for cell in cells]
        rows.append(line | dict(zip(found.targets, texts, strict=True)))
    return rows


def name_of(row: Any) -> str:
    """What a row of it was made for, or which noise it is."""
    return f"{row.source}, {row.attack}" if row.source else row.attack
