"""What do adversarial examples do to a net, and what does adversarial training change?

    robust-jax quickstart

On the 1,797 real 8x8 digits that scikit-learn ships: trains a plain and an
adversarially trained CNN, attacks both on the 500 held-out images with FGSM, PGD-40
(5 random starts; cross entropy, margin) and PGD towards every wrong class, in Linf and
L2, and sweeps the radius. Writes OUT/record.json, index.html and figures/*.png. Each
attack is judged alone; "worst case" counts an image as lost if any attack broke it.

README.md has the measured numbers for three seeds.
"""

import sys

import numpy as np
from absl import flags

from robust_jax import evaluate, models, report, threats, train
from robust_jax.commands.shared import common, recording
from robust_jax.core import extras
from robust_jax.evaluate.report import COLUMNS

flags.adopt_module_key_flags(common)

_EPOCHS = flags.DEFINE_integer("epochs", None, "Of both nets; default: the recipes'.")
_COUNT = flags.DEFINE_integer("count", 500, "Held-out images to attack, 1 to 500.")
_STEPS = flags.DEFINE_integer("steps", 40, "Of each PGD.")
_RESTARTS = flags.DEFINE_integer("restarts", 5, "Random starts of untargeted PGD.")

_RECIPES = {"plain": "digits", "robust": "pgd_digits"}
_THREATS = (threats.Linf(0.15), threats.L2(0.5))
_SWEEPS = {"linf": np.linspace(0.0, 0.3, 9), "l2": np.linspace(0.0, 1.6, 9)}
_SHOWN = 8  # images in a grid


def main(argv: list[str]) -> None:
    """Trains, attacks, sweeps, draws, writes."""
    extras.needed("matplotlib", "plots", "quickstart")  # Before minutes of training.
    test = common.load("digits", "test", _COUNT.value)
    plan = evaluate.basic(_STEPS.value, _RESTARTS.value)
    fewer = {"epochs": _EPOCHS.value}
    recipes = {n: train.recipe(r, fewer) for n, r in _RECIPES.items()}
    run = recording.Run("quickstart")
    run.series["data"] = test.name
    nets = {name: _train(run, name, recipe) for name, recipe in recipes.items()}
    reports = {
        (name, threat.name): _attack(run, name, net, threat, plan, test)
        for threat in _THREATS
        for name, net in nets.items()
    }
    for threat in _THREATS:
        _sweep(run, nets, threat, plan[2].attack, test)
    for (name, norm), result in reports.items():
        if norm == "linf":
            _draw_examples(run, name, nets[name], result, test)
    print(report.for_terminal(run.rows, COLUMNS))
    _save(run, reports)
    if not all(result.claims.passed for result in reports.values()):
        print(
            "error: an adversarial example is none; see the page's notes",
            file=sys.stderr,
        )
        sys.exit(3)


def _train(run, name, recipe):
    data = common.load("digits", "train")
    steps = recipe.epochs * recipe.steps_per_epoch(len(data))
    with common.counted(steps, f"train {name}", "step") as bar:
        trained = train.fit(
            recipe,
            data,
            common.load("digits", "validation"),
            seed=common.SEED.value,
            on_step=bar.update,
        )
    run.series.setdefault("training", {})[name] = trained.history
    return models.logits_fn(trained.module, trained.variables)


def _attack(run, name, net, threat, plan, test):
    with common.EvaluationBar(f"attack {name} {threat.name}") as bar:
        result = evaluate.robustness(
            net,
            test.pixels(),
            test.labels,
            threat,
            plan=plan,
            ids=test.ids,
            seed=common.SEED.value,
            retire=False,
            audit=False,
            name=name,
            on_progress=bar,
        )
    run.rows.extend(result.rows())
    judged = run.series.setdefault("evaluations", {})
    judged[f"{name}, {result.threat}"] = result.to_json()
    run.notes.append(f"{name}: {result.citation()}.")
    run.notes.append(f"{name}, {result.threat}: {result.claims}.")
    run.notes.append(f"{name}, {result.threat}: {result.start_up()}.")
    return result


def _sweep(run, nets, threat, attack, test):
    curves, radii = {}, _SWEEPS[threat.name]
    for name, net in nets.items():
        pairs = len(radii) * len(test)
        with common.counted(pairs, f"sweep {name} {threat.name}", "pair") as bar:
            curves[name] = evaluate.curve(
                net,
                test.pixels(),
                test.labels,
                threat,
                radii,
                attack,
                ids=test.ids,
                seed=common.SEED.value,
                on_items=bar.update,
            ).to_series()
    run.series[f"curves_{threat.name}"] = curves
    title = f"Robust accuracy against the {threat.name} radius"
    caption = f"PGD-{_STEPS.value} on the margin, one start, n = {len(test)}; bands "
    path = run.figure(f"curves_{threat.name}", title, caption + "are 95 % intervals.")
    report.figures.robustness_curves(path, curves, title, f"{threat.name} radius")


def _draw_examples(run, name, net, result, test):
    lost = np.flatnonzero(result.winner >= 0)[:_SHOWN]
    if len(lost) == 0:
        return
    clean, found = test.pixels()[lost], result.x_adv[lost]
    title = f"What breaks the {name} net, {result.threat}"
    caption = "Clean image, adversarial image and their magnified difference, with the "
    path = run.figure(f"examples_{name}", title, caption + "net's answers.")
    answers = net(clean).argmax(axis=1), net(found).argmax(axis=1)
    report.figures.adversarial_grid(
        path, clean, found, test.labels[lost], *answers, title
    )


def _save(run, reports):
    title = "Training"
    path = run.figure("training", title, "Loss and accuracies after each epoch.")
    report.figures.training_curves(path, run.series["training"], title)
    plain, robust = reports["plain", "linf"], reports["robust", "linf"]
    summary = (
        f"Under {robust.threat} the plain net keeps {plain.robust_accuracy} of the "
        f"{len(plain.clean)} held-out digits, the adversarially trained one "
        f"{robust.robust_accuracy} (worst case over all attacks, 95 % interval). "
        f"Without attack: {plain.clean_accuracy} and {robust.clean_accuracy}."
    )
    print(summary)
    run.save("Robustness of two nets on handwritten digits", summary, COLUMNS)
