"""How robust does a recipe make a net? Trains one and writes a checkpoint.

    robust-jax train --recipe=pgd_mnist --data_dir=DIR --set attack.steps=20
    robust-jax train --module=mynets:Net --images=own.npz

`--recipe=NAME --print_config` shows what can be set. Writes OUT/model.safetensors (the
net), record.json, index.html, metrics.jsonl, the training curves and checkpoints: a run
that was stopped, by SIGTERM, Ctrl-C or otherwise, goes on from the newest one when the
same command is given again, and ends as if nothing had happened. Judge the net with
`robust-jax evaluate`; the robust accuracy shown here is that under two short APGD on
at most 500 validation images, and flatters by one to three points.
"""

import dataclasses

from absl import flags

from robust_jax import models, report, train
from robust_jax.commands.shared import (
    common,
    distributed,
    metrics,
    numbers,
    own,
    recording,
    resuming,
)
from robust_jax.train import devices

for _module in (common, distributed, metrics, own, resuming):
    flags.adopt_module_key_flags(_module)

_PLACES = {"device": False, "host": True}
_RECIPE = flags.DEFINE_string(
    "recipe", "pgd_digits", f"One of {', '.join(train.RECIPES)}."
)
_MODULE = flags.DEFINE_string(
    "module", None, "package.module:Net, of Linen, in the place of the recipe's net."
)
_EPOCHS = flags.DEFINE_integer("epochs", None, "Passes; default: the recipe's.")
_EPS = numbers.DEFINE_number(
    "eps", None, "Training radius in pixel units of [0, 1]; default: the recipe's."
)
_SET = flags.DEFINE_multi_string(
    "set", [], "PART.FIELD=VALUE changes the recipe; may be given many times."
)
_PRINT_CONFIG = flags.DEFINE_bool(
    "print_config", False, "Print the recipe, one PART.FIELD=VALUE a line, and end."
)
_COUNT = flags.DEFINE_integer("count", None, "Train on the first so many examples.")
_DATA_ON = flags.DEFINE_enum(
    "data_on", "auto", ["auto", *_PLACES], "Where all images stay."
)

_COLUMNS = (
    report.Column("epoch", "epoch"),
    report.Column("loss", "loss [nats]", report.fixed(4)),
    report.Column("train_accuracy", "train accuracy", report.fixed(4)),
    report.Column("validation_accuracy", "validation accuracy", report.fixed(4)),
    report.Column("robust_validation_accuracy", "... under attack", report.fixed(4)),
    report.Column("seconds", "seconds", report.fixed(1)),
)


def main(argv: list[str]) -> None:
    """Trains, validates after every epoch, saves."""
    recipe = _recipe()
    if _PRINT_CONFIG.value:
        print("\n".join(f"{path}={value}" for path, value in recipe.fields().items()))
        return
    distributed.join()
    devices.mesh_for(recipe.data.batch_size)  # Refuses before anything is written.
    metrics.check_flags()
    resuming.check_flags()
    data, validation = own.for_training(recipe.dataset, _COUNT.value)
    train.module_for(recipe, data, common.SEED.value)  # Nothing is written before.
    run = recording.Run("train", writes=distributed.is_first())
    with resuming.checkpointing(run.out) as checkpointer:
        trained = _fit(run, recipe, data, validation, checkpointer)
    if not distributed.is_first():
        return
    flops = models.flops(trained.module, shape := data.images.shape[1:])
    metadata = {"recipe": dataclasses.asdict(recipe), "flops": flops}
    metadata |= {"seed": common.SEED.value, "n": len(data), "seconds": trained.seconds}
    path = run.out / "model.safetensors"
    own.save(path, trained, shape, metadata)
    run.rows = metrics.rows(trained.history)
    print(report.for_terminal(run.rows, _COLUMNS))
    print(f"wrote {path} ({trained.seconds:.0f} s, {flops / 1e6:.1f} MFLOP an image)")
    run.series = {"history": trained.history, **metadata}
    _save(run, recipe, trained, len(data), len(validation))


def _recipe():
    changes: dict[str, object] = {
        "dataset": own.name(),
        "epochs": _EPOCHS.value,
    }
    changes["ball.eps"] = _EPS.value
    changes |= own.settings(_SET.value)
    recipe = train.recipe(_RECIPE.value)
    if _MODULE.value is not None:  # Of its own attributes, not the named net's.
        model = own.module_name(_MODULE.value)
        recipe = dataclasses.replace(recipe, model=model, model_config=())
    return recipe.changed(changes)


def _fit(run, recipe, data, validation, checkpointer):
    per_epoch, written = recipe.steps_per_epoch(len(data)), metrics.Metrics(run.out)
    steps, batch = recipe.epochs * per_epoch, recipe.data.batch_size
    total, first = steps * batch, distributed.is_first()
    with report.progress(total, _RECIPE.value, " images", is_shown=first) as bar:

        def on_start(done):
            written.start(done)
            if done and first:
                print(f"going on from step {done:,} of {steps:,}")
            bar.update(done * batch)

        def on_epoch(row):
            written.write(row["epoch"] * per_epoch, row)
            shares = {"clean": row["validation_accuracy"]}
            shares["robust"] = row["robust_validation_accuracy"]
            shown = {n: "-" if v is None else f"{v:.3f}" for n, v in shares.items()}
            bar.set(epoch=row["epoch"], loss=f"{row['loss']:.3f}", **shown)

        trained = train.fit(
            recipe,
            data,
            validation,
            seed=common.SEED.value,
            checkpointer=checkpointer,
            on_host=_PLACES.get(_DATA_ON.value),
            on_start=on_start,
            on_step=lambda: bar.update(batch),
            on_epoch=on_epoch,
        )
    written.finish(metrics.rows(trained.history), per_epoch)
    return trained


def _save(run, recipe, trained, n, n_validation):
    title = "Training"
    if run.can_draw():
        figure = run.figure("training", title, "Loss and accuracies after each epoch.")
        report.figures.training_curves(
            figure, {_RECIPE.value: trained.history}, f"Recipe {_RECIPE.value}"
        )
    last = trained.history["validation_accuracy"][-1]
    run.save(
        f"Training by recipe {_RECIPE.value}",
        f"Validation accuracy {last:.4f} on {n_validation:,} images after "
        f"{recipe.epochs} epochs of {n:,} images.",
        _COLUMNS,
    )
