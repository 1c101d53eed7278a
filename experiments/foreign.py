"""How robust are models that are no neural nets and have no gradients?

    python -m experiments.foreign --checkpoint=out/train/model.safetensors --eps=0.2

Support vector machines, k nearest neighbours, a random forest and boosted trees of
scikit-learn are attacked in two ways: by what was made for a net (momentum and diverse
inputs; several checkpoints count as an ensemble), and by RayS, which sees their labels
alone, through one call of the model a step. Beside them noise of the same size.
"""

from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.studies.properties import sklearn_models
from robust_jax import attacks, interop, report, threats
from robust_jax.commands.shared import (
    common,
    images as own,
    numbers,
    recording,
    subjects,
)
from robust_jax.core import array_checks, checks, lift
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import AttackResult, Untargeted
from robust_jax.datasets import Dataset
from robust_jax.evaluate.batch import run_on

_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
_EPS = numbers.DEFINE_number("eps", 0.2, "Linf radius in pixel units of [0, 1].")
_VICTIMS = flags.DEFINE_list("victims", None, "Names; default: all.")
_QUERIES = flags.DEFINE_integer("queries", 1_000, "Of an image, by RayS.")

_COLUMNS = (
    report.Column("victim", "victim"),
    report.Column("n", "n"),
    report.Column("clean", "clean accuracy"),
    report.Column("noise", "noise"),
    report.Column("transferred", "made for the net"),
    report.Column("rays", "RayS [95 %]"),
    report.Column("queries", "queries of a success, median", report.fixed(0)),
)


def main(argv: list[str]) -> None:
    """Fits the victims, attacks them, prints the table."""
    array_checks.eps("linf", _EPS.value)
    for name in _VICTIMS.value or ():
        checks.known_name("victim", name, sklearn_models.NAMES)
    attack = attacks.by_name("rays").of_queries(_QUERIES.value)
    nets = subjects.all_given(_COUNT.value)
    data = nets[0].turned(nets[0].data)
    train = nets[0].turned(own.part(data, "train"))
    run = recording.Run("foreign")
    surrogate = attacks.ensemble([net.logits_fn for net in nets])
    for net in nets:
        net.note_in(run)
    made = np.asarray(_found(attacks.di_fgsm(), surrogate, data).x_adv)
    keys = lift.item_keys(common.SEED.value, data.ids)
    sample = jax.vmap(lambda key, x: threats.Linf(_EPS.value).sample(key, x))
    noisy = np.asarray(sample(keys, data.pixels()))
    victims = sklearn_models.fitted(train, common.SEED.value, _VICTIMS.value)
    for name, model in victims.items():
        run.rows.append(_row(name, model, data, made, noisy, attack))
    right = Proportion(_right(_classes(surrogate, data.pixels()), data), len(data))
    held = Proportion(_right(_classes(surrogate, made), data), len(data))
    run.notes.append(f"The net itself: {right} clean, {held} on what was made for it.")
    run.show(_COLUMNS)
    run.save(
        "Models that are no neural nets",
        f"{common.described(data)}, n = {len(data)}, Linf eps = {_EPS.value:g}, RayS "
        f"with at most {_QUERIES.value:,} queries; accuracy under each.",
        _COLUMNS,
    )


def _row(
    name: str,
    model: Any,
    data: Dataset,
    made: np.ndarray,
    noisy: np.ndarray,
    attack: Any,
) -> dict[str, Any]:
    def accuracy(images: np.ndarray) -> Proportion:
        answers = model.predict(images.reshape(len(images), -1))
        return Proportion(_right(answers, data), len(data))

    with common.counted(len(data), name, "image") as bar:
        victim = interop.from_sklearn(model, answers="labels")
        found = _found(attack, victim, data, bar.update)
    queries = np.asarray(found.forwards)[(found.margin >= 0) & (found.forwards > 1)]
    return {
        "victim": name,
        "n": len(data),
        "clean": accuracy(data.pixels()),
        "noise": accuracy(noisy),
        "transferred": accuracy(made),
        "rays": accuracy(np.asarray(found.x_adv)),
        "queries": float(np.median(queries)) if len(queries) else None,
    }


def _found(attack: Any, model: Any, data: Dataset, on_tile: Any = None) -> AttackResult:
    """What an attack finds, to its first success each."""
    threat, goal = threats.Linf(_EPS.value), Untargeted(data.labels.astype(np.int32))
    given = data.ids, model, threat, data.pixels(), goal
    return run_on(attack, *given, seed=common.SEED.value, on_tile=on_tile)


def _classes(model: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(jax.vmap(model)(images)).argmax(axis=1)


def _right(answers: np.ndarray, data: Dataset) -> int:
    return int((answers == data.labels).sum())


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(subjects)
    common.run_main(main)
