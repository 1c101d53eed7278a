"""How robust is a checkpoint? Attacks it by a plan and audits every example found.

    python -m experiments.evaluate --checkpoint=out/train/model.safetensors --eps=0.3

Expected for `experiments.train --recipe=pgd_mnist`: see README. The plan is FGSM, PGD
on cross entropy and on the margin from random starts, and PGD towards every wrong
class; a first look, not AutoAttack. Exit code 3 if the audit contradicts an attack.
"""

import sys

from absl import flags

from experiments import common, recording
from robust_jax import evaluate, models, report, threats
from robust_jax.core import checks
from robust_jax.evaluate.report import COLUMNS

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "File that experiments.train wrote."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Default: the data set that the net was trained on."
)
_SPLIT = flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "Which.")
_COUNT = flags.DEFINE_integer("count", None, "The first so many examples; default all.")
_NORM = flags.DEFINE_string("norm", "linf", "Of the threat: linf, l2, l1 or l0.")
_EPS = flags.DEFINE_float(
    "eps", None, "Radius in pixel units of [0, 1] (coordinates for l0).", required=True
)
_STEPS = flags.DEFINE_integer("steps", 40, "Steps of each PGD.")
_STEP_SIZE = flags.DEFINE_float(
    "step_size", None, "Of PGD, in the unit of eps; default eps / 30."
)
_RESTARTS = flags.DEFINE_integer("restarts", 5, "Random starts of untargeted PGD.")
_TARGETED = flags.DEFINE_bool("targeted", True, "Also PGD towards each wrong class.")


def main(argv: list[str]) -> None:
    """Evaluates, prints the table, writes record, examples and page."""
    threat, plan = threats.by_name(_NORM.value)(_EPS.value), _plan()
    checkpoint = models.load(_CHECKPOINT.value)
    data = common.load_for(checkpoint, _DATASET.value, _SPLIT.value, _COUNT.value)
    run = recording.Run("evaluate")
    work = len(data) * evaluate.work_items(plan, data.num_classes)
    with common.counted(work, "attacks", "item") as bar:
        result = evaluate.robustness(
            checkpoint.logits_fn,
            data.pixels(),
            data.labels,
            threat,
            plan=plan,
            ids=data.ids,
            seed=common.SEED.value,
            name=_CHECKPOINT.value,
            on_items=bar.update,
        )
    print(result)
    result.write_examples(run.out / "adversarial.npz")
    run.rows = result.rows()
    run.notes = [result.citation(), f"Audit: {result.claims}"]
    run.series = {"checkpoint": checkpoint.metadata, "evaluation": result.to_json()}
    _draw(run, data, result, checkpoint)
    run.save(
        f"Robustness of {_CHECKPOINT.value}",
        f"{data.name} {_SPLIT.value}, {result.threat}: clean accuracy "
        f"{result.clean_accuracy}, robust accuracy {result.robust_accuracy}.",
        COLUMNS,
    )
    if not result.claims.passed:
        print(f"error: the audit failed: {result.claims}", file=sys.stderr)
        sys.exit(3)


def _plan():
    checks.eps(_NORM.value, _EPS.value)
    relative_step = 1 / 30
    if _STEP_SIZE.value is not None:
        checks.positive_number("step_size", _STEP_SIZE.value)
        checks.positive_number("eps", _EPS.value)
        relative_step = _STEP_SIZE.value / _EPS.value
    plan = evaluate.basic(_STEPS.value, _RESTARTS.value, relative_step)
    return plan if _TARGETED.value else plan[:-1]


def _draw(run, data, result, checkpoint):
    broken = (result.winner >= 0).nonzero()[0][:8]
    if len(broken) == 0:
        return
    clean, found = data.pixels()[broken], result.x_adv[broken]
    path = run.figure(
        "examples",
        "Adversarial examples",
        "Clean image, adversarial image and their magnified difference, with the "
        "net's answers.",
    )
    report.figures.adversarial_grid(
        path,
        clean,
        found,
        data.labels[broken],
        checkpoint.logits_fn(clean).argmax(axis=1),
        checkpoint.logits_fn(found).argmax(axis=1),
        f"Adversarial examples, {result.threat}",
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
