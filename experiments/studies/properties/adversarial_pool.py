"""Does training on pools of adversarial examples help? Szegedy et al., Sec. 4.2.

References: Szegedy et al., ICLR 2014. Differs from it in: three PGD steps within a
    tenth of a layer's length, not L-BFGS; all pools in every step, not in turns.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from experiments.studies.properties.nearest import percent
from experiments.studies.properties.pgd import pgd
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, attacks, models, report, threats, train
from robust_jax.commands.shared import common, recording
from robust_jax.train import loop

_RELATIVE = 0.1  # radius of a perturbation over the mean length of a layer's output
_POOL, _SHARE = 2_000, 0.3
_STEPS, _STEP = 3, 0.5
_LAYERS = {"Dense_0": "images", "Dense_1": "layer 1", "Dense_2": "layer 2"}
_KINDS: dict[str, tuple[str, ...]] = {
    "plain": (),
    **{f"pool of {title}": (name,) for name, title in _LAYERS.items()},
    "pools of all": tuple(_LAYERS),
}
_COLUMNS = (
    report.Column("kind", "training"),
    report.Column("error", "test error %", percent),
    report.Column("best", "least on the way %", percent),
    report.Column("robust_error", "error under PGD %", percent),
    report.Column("papers", "paper's test error %"),
)
_PAPERS = {"plain": "1.6 (weight decay alone)", "pools of all": "below 1.2"}


def adversarial_pool(setting: Setting, run: recording.Run) -> dict[str, float]:
    """FC100-100-10 with a pool of each layer's outputs, of some, of none."""
    data = setting.shown(1_000)
    eps = 0.5 if setting.is_small else 1.5
    rows: list[dict[str, Any]] = []
    lines = {}
    for kind, names in _KINDS.items():
        net, curve = _trained(setting, kind, names)
        lines[kind] = (range(1, len(curve) + 1), [100 * e for e in curve])
        shown = pgd(setting, net, data, threats.L2(eps))
        wrong = analysis.predictor(net)(shown) != data.labels
        rows.append(
            {
                "kind": kind,
                "error": curve[-1],
                "best": min(curve),
                "robust_error": float(wrong.mean()),
                "papers": _PAPERS.get(kind, "-"),
            }
        )
    run.table(
        "Training on pools of adversarial examples",
        f"FC100-100-10. Perturbations of {_RELATIVE:g} of a layer's mean length, "
        f"found by {_STEPS} steps, in a pool of {_POOL:,} for each layer, which "
        f"trains the layers above; a share of {_SHARE:g} of the loss. PGD: L2 "
        f"{eps:g}, {len(data)} images. The paper has L-BFGS and alternates.",
        rows,
        _COLUMNS if setting.paper else _COLUMNS[:-1],
    )
    title = "Test error by epoch"
    path = run.figure("adversarial_pool", title, "A line for each kind of training.")
    report.plots.curves(path, lines, title, "epoch", "test error in %")
    plain, images = rows[:2]
    best = min(rows[1:], key=lambda row: row["error"])
    return {
        "points gained by the best pool": 100 * (plain["error"] - best["error"]),
        "robust error, image pool / plain": images["robust_error"]
        / plain["robust_error"],
    }


def _trained(
    setting: Setting, kind: str, names: tuple[str, ...]
) -> tuple[Any, list[float]]:
    """A net, and its test error after each epoch."""
    recipe = setting.nets.recipe("fc100")
    if setting.is_small:
        recipe = recipe.changed({"epochs": recipe.epochs // 3})
    pixels, labels = setting.test.pixels(), setting.test.labels
    total = recipe.epochs * recipe.steps_per_epoch(len(setting.training))
    with common.counted(total, f"train {kind}", "step") as bar:

        def step() -> bool:
            bar.update()
            return False

        plain = train.set_up(recipe, setting.training, setting.seed)
        setup = _with_pools(setting, plain, names, step)
        state, curve = setup.fresh().state, []
        for epoch in range(recipe.epochs):
            key = jax.random.fold_in(setup.epochs_key, epoch)
            state, _ = setup.run(state, setup.loader, key)
            net = models.logits_fn(
                setup.module, jax.tree.map(np.asarray, state.variables)
            )
            curve.append(float((analysis.predictor(net)(pixels) != labels).mean()))
    return net, curve


def _with_pools(setting: Setting, setup: Any, names: tuple[str, ...], step: Any) -> Any:
    learner = setup.learner
    if names:
        objective, memory = train.pooled_at(
            models.ApplyMode(setup.module),
            attacks.pgd(_STEPS, _STEP),
            [_cut(setting, setup, name) for name in names],
            size=_POOL,
            share=_SHARE,
        )
        learner = learner._replace(objective=objective, memory=memory)
    steps = loop.auto(learner, setup.batching, step)
    return dataclasses.replace(setup, learner=learner, run=steps)


def _cut(setting: Setting, setup: Any, name: str) -> train.SplitNet:
    """The net taken apart below a layer, with a radius from the plain net's outputs."""
    plain = setting.nets["fc100"]
    inputs = analysis.layer_inputs(plain.module, plain.variables, name, setup.shape)
    few = setting.training.take(np.arange(min(1_000, len(setting.training))))
    found = analysis.features(inputs, few.pixels())
    eps = _RELATIVE * float(np.linalg.norm(found, axis=1).mean())
    ends = (0.0, 1.0)  # Of pixels, and of sigmoid units.
    threat = threats.L2(eps, *ends)
    return train.split_before(setup.module, name, setup.shape, lambda step: threat)
