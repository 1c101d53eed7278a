"""Do models of other kinds err on what was made for nets by modern attacks?"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments import recording
from experiments.properties import others
from experiments.properties.nearest import keys
from experiments.properties.nets import TITLES
from experiments.properties.setting import Setting
from robust_jax import analysis, attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import LogitsFn, Untargeted


def between_kinds(setting: Setting, run: recording.Run) -> None:
    """PGD and MI-DI for two nets, shown to other nets, kernels, neighbours, trees."""
    data = setting.shown(200 if setting.is_small else 500)
    eps = 0.15 if setting.is_small else 0.2
    names = ("fc100", "cnn")
    sources = {TITLES[name]: setting.nets[name].logits_fn for name in names}
    again = setting.nets["cnn_again"]
    kinds = {again.title: analysis.predictor(again.logits_fn)}
    kinds |= others.trained(setting.training, setting.seed)
    steps, step = 20, 0.1
    diverse = attacks.mim(steps, step, gradient=attacks.input_diversity())
    crafts = {
        "PGD": _linf(attacks.pgd(steps, step), eps, setting.seed),
        "MI-DI": _linf(diverse, eps, setting.seed),
    }
    found = analysis.transfer_matrix(
        sources, crafts, data.pixels(), data.labels, targets=kinds, equal_noise=True,
        seed=setting.seed,
    )  # fmt: skip
    run.table(
        "Transfer to models of other kinds",
        f"Error in per cent of each model (columns) under Linf {eps:g}, made for the "
        f"net of the row, on the {found.matrix()[0][0].n} images that all models get "
        "right. MI-DI: momentum and input diversity.",
        rows_of(found, True),
    )


def _linf(attack: Any, eps: float, seed: int) -> analysis.CraftFn:
    run = drive.auto(attack, to_the_end=True)

    def craft(
        logits_fn: LogitsFn, images: np.ndarray, labels: np.ndarray
    ) -> np.ndarray:
        goal = Untargeted(labels.astype(np.int32))
        made = run(
            keys(seed, len(images)),
            logits_fn,
            threats.Linf(eps),
            jnp.asarray(images),
            goal,
        )
        return np.asarray(made.x_adv)

    return craft


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
