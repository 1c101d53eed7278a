"""What does each training method gain, and at what price? All recipes of the digits.

    python -m experiments.compare_training --seeds=3

Trains every recipe from several seeds and judges each net on the 500 held-out images by
AutoAttack's cheap substitute, plan `swift`, at the recipe's radius and norm. FLOPs are
of all training steps, counted in their programs, in forward passes of one image per
image and pass. Rows are means over the seeds; "±" is their standard deviation.

    python -m experiments.compare_training --recipes=pgd_digits,awp_digits --norm=l2 \
        --eps=0.5
"""

import functools
import statistics
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import common, recording
from robust_jax import evaluate, models, report, threats, train
from robust_jax.core import checks
from robust_jax.train import catalog_digits

_RECIPES = flags.DEFINE_list(
    "recipes", None, "Names, of one data set; default: all of the digits."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings per recipe, from --seed on.")
_COUNT = flags.DEFINE_integer("count", None, "The first so many test images.")
_NORM = flags.DEFINE_string("norm", "linf", "That nets are judged by.")
_EPS = flags.DEFINE_float("eps", 0.15, "That nets are judged by, pixel units.")
_EPOCHS = flags.DEFINE_integer("epochs", None, "Of all; default: the recipe's.")
_PLAN = flags.DEFINE_string("plan", "swift", "Of `evaluate.robustness`.")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


_COLUMNS = (
    report.Column("recipe", "recipe"),
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
    names = _RECIPES.value or list(catalog_digits.RECIPES)
    recipes = {name: _recipe(name) for name in names}
    dataset = next(iter(recipes.values())).dataset
    data, validation = common.load(dataset, "train"), common.load(dataset, "validation")
    test = common.load(dataset, "test", _COUNT.value)
    run = recording.Run("compare_training")
    seeds = range(common.SEED.value, common.SEED.value + _SEEDS.value)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in recipes}
    with common.counted(len(names) * len(seeds), "train and judge", "net") as bar:
        for name, recipe in recipes.items():
            for seed in seeds:
                trained = train.fit(recipe, data, validation, seed=seed)
                row = {"seed": seed, **_judged(trained, test)}
                runs[name].append(row | _cost(recipe, trained, data))
                bar.update()
            run.rows.append(_row(name, runs[name]))
    run.series["runs"] = runs
    print(report.format_table(run.rows, _COLUMNS))
    run.save(
        f"Training methods on {dataset}",
        f"{len(test)} test images, {_NORM.value} eps={_EPS.value:g}, plan "
        f"{_PLAN.value}; means of {len(seeds)} seeds.",
        _COLUMNS,
    )


def _recipe(name):
    recipe = train.recipe(name, {"epochs": _EPOCHS.value})
    return recipe.changed({"validate_every": recipe.epochs})


def _judged(trained, test):
    found = evaluate.robustness(
        models.logits_fn(trained.module, trained.variables),
        test.pixels(),
        test.labels,
        threats.by_name(_NORM.value)(_EPS.value),
        plan=_PLAN.value,
        ids=test.ids,
        audit=False,
    )
    return {"clean": found.clean_accuracy.value, "robust": found.robust_accuracy.value}


def _cost(recipe, trained, data):
    setup = train.set_up(recipe, data, teachers=_any_teachers(recipe, trained))
    fresh = functools.partial(train.new_state, setup.learner)
    state = jax.eval_shape(fresh, trained.variables)
    row = np.zeros(recipe.data.batch_size, np.int32)
    batch = jax.eval_shape(
        setup.batching.batch, setup.feed, row, jax.eval_shape(lambda: jax.random.key(0))
    )
    cost = train.step_cost(setup.learner, state, batch, trained.module)
    steps = recipe.epochs * setup.per_epoch
    return {
        "forwards": cost.forwards_per_image,
        "gflop": cost.flops * steps / 1e9,
        "seconds": trained.seconds,
        "healed": trained.healing_since,
    }


def _any_teachers(recipe, trained):
    """Nets of the teachers' shapes: what they answer costs the same."""
    net = models.logits_fn(trained.module, trained.variables)
    return tuple(net for _ in recipe.teachers)


def _row(name, runs):
    row: dict[str, Any] = {"recipe": name}
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
