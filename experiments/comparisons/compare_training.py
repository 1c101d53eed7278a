"""What does each training method gain, and at what price? All recipes of the digits.

    python -m experiments.comparisons.compare_training

Trains every recipe from several seeds, in 0.4 of its epochs, and judges each net on
held-out images by AutoAttack's cheap substitute, plan `swift`, in the ball that it was
trained for (a net trained on clean images in Linf 0.15). FLOPs are of all training
steps, counted in their programs, in forward passes of one image per image and pass.
Rows are means over the seeds; "±" is their standard deviation.

    python -m experiments.comparisons.compare_training \
        --recipes=pgd_digits,awp_digits --norm=l2 \
        --eps=0.5 --share=1

On CPU a net is trained on one core, and cores train nets side by side.
"""

import statistics
from typing import Any

from absl import flags

from experiments.comparisons import training_rows
from robust_jax import report, train
from robust_jax.commands.shared import common, numbers, recording
from robust_jax.core import checks
from robust_jax.evaluate import plans
from robust_jax.train import catalog_digits

_RECIPES = flags.DEFINE_list(
    "recipes", None, "Names, of one data set; default: all of the digits."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings per recipe, from --seed on.")
_COUNT = flags.DEFINE_integer("count", 200, "The first so many test images; 0: all.")
_NORM = flags.DEFINE_string("norm", None, "That nets are judged by; with --eps.")
_EPS = numbers.DEFINE_number(
    "eps", None, "That nets are judged by, pixel units; default: in their own ball."
)
_SHARE = numbers.DEFINE_number("share", 0.4, "Of each recipe's epochs.")
_PLAN = flags.DEFINE_string("plan", "swift", "Of `evaluate.robustness`.")
_WORKERS = flags.DEFINE_integer(
    "workers", None, "Nets side by side; default: the cores on CPU, else 1."
)
_PLAIN = train.Ball(eps=0.15)  # For nets trained on clean images.


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


_COLUMNS = (
    report.Column("recipe", "recipe"),
    report.Column("judged", "judged in"),
    report.Column("clean", "clean", _percent),
    report.Column("clean_spread", "±", _percent),
    report.Column("robust", "robust", _percent),
    report.Column("robust_spread", "±", _percent),
    report.Column("forwards", "forwards per image", report.fixed(1)),
    report.Column("gflop", "GFLOP in all", report.fixed(1)),
    report.Column("healed", "healed"),
    report.Column("seconds", "seconds", report.fixed(0)),
)


def main(argv: list[str]) -> None:
    """Trains, judges, prints the table."""
    checks.positive_integer("seeds", _SEEDS.value)
    checks.positive_number("share", _SHARE.value)
    if _WORKERS.value is not None:
        checks.positive_integer("workers", _WORKERS.value)
    names = _RECIPES.value or list(catalog_digits.RECIPES)
    recipes = {n: training_rows.shortened(train.recipe(n), _SHARE.value) for n in names}
    balls = {name: _ball(recipe.ball) for name, recipe in recipes.items()}
    _check_plan({ball.norm for ball in balls.values()})
    dataset = next(iter(recipes.values())).dataset
    test = common.load(dataset, "test", _COUNT.value or None)
    run = recording.Run("compare_training")
    seeds = range(common.SEED.value, common.SEED.value + _SEEDS.value)
    jobs = [
        _job(recipe, seed, balls[name], len(test), costed=seed == seeds[0])
        for name, recipe in recipes.items()
        for seed in seeds
    ]
    workers = _WORKERS.value or training_rows.default_workers()
    rows = []
    with common.counted(len(jobs), "train and judge", "net") as bar:
        for row in training_rows.in_turn(jobs, workers, len(seeds)):
            rows.append(row)
            bar.update()
    n = len(seeds)
    runs = {name: rows[i * n : (i + 1) * n] for i, name in enumerate(recipes)}
    run.rows = [_row(name, balls[name], some) for name, some in runs.items()]
    run.series["runs"] = runs
    print(report.for_terminal(run.rows, _COLUMNS))
    run.save(
        f"Training methods on {dataset}",
        f"{len(test)} test images, plan {_PLAN.value}; {_SHARE.value:g} of each "
        f"recipe's epochs; means of {n} seeds; {workers} nets at a time.",
        _COLUMNS,
    )


def _job(recipe, seed, ball, images, costed):
    where = common.DATA_DIR.value
    return training_rows.Job(recipe, seed, ball, _PLAN.value, images, where, costed)


def _check_plan(norms):
    for norm in norms:
        plans.by_name(_PLAN.value, norm)
    if _PLAN.value == "rand":
        raise ValueError("plan=rand is for random nets, and no recipe makes one")


def _ball(own):
    if _EPS.value is not None:
        return train.Ball(_NORM.value or "linf", _EPS.value)
    if _NORM.value is not None:
        raise ValueError(f"norm={_NORM.value} without a radius; pass --eps too")
    return own if own.eps else _PLAIN


def _row(name, ball, runs):
    row: dict[str, Any] = {"recipe": name, "judged": f"{ball.norm} {ball.eps:g}"}
    for part in ("clean", "robust"):
        values = [run[part] for run in runs]
        row[part] = statistics.fmean(values)
        row[f"{part}_spread"] = statistics.stdev(values) if len(values) > 1 else None
    row |= {part: runs[0][part] for part in ("forwards", "gflop")}
    row["seconds"] = sum(run["seconds"] for run in runs)
    row["healed"] = sum(run["healed"] is not None for run in runs)
    return row


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
