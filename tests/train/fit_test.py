"""Training on a few digits, from scratch to history."""

import dataclasses
import sys

import jax
import numpy as np
import pytest

from robust_jax import attacks, datasets, evaluate, models, train
from robust_jax.train import loop, setup, validation
from robust_jax.train.checkpointing import OrbaxCheckpointer

PLAIN = train.Recipe(
    dataset="digits",
    model="mlp",
    model_config=(("hidden", (32,)),),
    epochs=3,
    method=train.methods.Standard(),
    data=train.Data(batch_size=32),
    descent=train.Descent(rate=3e-2),
)
ROBUST = PLAIN.changed(
    {
        "method.name": "adversarial",
        "ball.eps": 0.05,
        "attack.steps": 2,
        "attack.relative_step": 0.6,
    }
)


def quick(norm, num_classes):
    """A short plan for where validation is not what is looked at."""
    return (evaluate.Stage("pgd", attacks.pgd(1)),)


def data(split, n):
    return datasets.load("digits", split).take(np.arange(n))


def test_adversarial_training_lowers_the_loss_and_tells_its_history():
    steps, rows = [], []
    trained = train.fit(
        ROBUST,
        data("train", 200),
        data("validation", 60),
        on_step=lambda: steps.append(1),
        on_epoch=rows.append,
    )
    history = trained.history
    assert [
        dict(zip(history, row, strict=True))
        for row in zip(*history.values(), strict=True)
    ] == rows
    assert history["epoch"] == [1, 2, 3]
    assert history["loss"][2] < 0.7 * history["loss"][0]
    assert history["validation_accuracy"][2] > 0.5
    for clean, robust in zip(
        history["validation_accuracy"],
        history["robust_validation_accuracy"],
        strict=True,
    ):
        assert robust <= clean
    assert 0 < sum(history["seconds"]) <= trained.seconds
    if jax.default_backend() == "cpu":  # Elsewhere an epoch is one program.
        assert len(steps) == 3 * 7
    # The weights that come back are those of the last epoch.
    test = data("validation", 60)
    logits = models.logits_fn(trained.module, trained.variables)(test.pixels())
    accuracy = (np.argmax(logits, axis=1) == test.labels).mean()
    np.testing.assert_allclose(accuracy, history["validation_accuracy"][2])


def test_training_is_deterministic_in_the_seed():
    affine = dataclasses.replace(PLAIN, epochs=1, model_config=(("hidden", ()),))

    def weights(seed):
        few = data("train", 100), data("validation", 10)
        trained = train.fit(affine, *few, seed=seed)
        assert trained.history["robust_validation_accuracy"] == [None]
        return jax.tree.leaves(trained.variables)

    first, again, other = weights(0), weights(0), weights(1)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(first, other, strict=True))


def test_the_best_epoch_is_kept_and_averages_are_given(monkeypatch):
    scores = iter([0.5, 0.7, 0.7])
    seen = []

    def validated(logits_fn, ball, data):
        seen.append(np.asarray(logits_fn(data.pixels())))
        share = next(scores)
        return {"validation_accuracy": 1.0, "robust_validation_accuracy": share}

    monkeypatch.setattr(validation, "validated", validated)
    changes = {"weights.ema": (0.9,), "weights.give": "ema_0.9", "weights.keep": "best"}
    few = data("train", 100), data("validation", 20)
    trained = train.fit(ROBUST.changed(changes), *few)
    assert trained.best_epoch == 2  # The first of two that tie.
    given = models.logits_fn(trained.module, trained.variables)(few[1].pixels())
    np.testing.assert_array_equal(given, seen[1])
    last = models.logits_fn(trained.module, trained.averages["ema_0.9"])
    np.testing.assert_array_equal(last(few[1].pixels()), seen[2])
    assert set(trained.averages) == {"live", "ema_0.9"}


def test_after_a_collapse_the_remedy_trains(monkeypatch):
    monkeypatch.setattr(validation, "quick", quick)
    accuracies, runs = iter([0.4, 0.6, 0.45, 0.3, 0.9]), []

    def pgd_accuracy(*arguments):
        return lambda variables, key: next(accuracies)

    def auto(learner, batching, on_step, mesh, on_host):
        run = loop.hosted(learner, batching, on_step, mesh)

        def recorded(state, *more):
            runs.append((learner, int(state.step)))
            return run(state, *more)

        return recorded

    monkeypatch.setattr(setup, "pgd_accuracy", pgd_accuracy)
    monkeypatch.setattr(setup.loop, "auto", auto)
    changes = {"watch.every": 0.5, "watch.drop": 0.2, "data.batch_size": 25}
    few = data("train", 100), data("validation", 20)
    trained = train.fit(ROBUST.changed(changes), *few)
    assert trained.collapsed_at == 8  # 0.3 after the fourth half epoch of two steps.
    learners = [learner for learner, _ in runs]
    assert [step for _, step in runs] == [0, 2, 4, 6, 8, 10]
    assert len({id(each) for each in learners[:4]}) == 1
    assert learners[4] is learners[5] is not learners[0]


def test_validation_waits_for_its_epoch():
    recipe = PLAIN.changed({"validate_every": 2})
    trained = train.fit(recipe, data("train", 64), data("validation", 20))
    shares = trained.history["validation_accuracy"]
    assert shares[0] is None and None not in shares[1:]


def test_a_loss_that_diverges_is_one_sentence_about_the_learning_rate():
    wild = PLAIN.changed({"descent.rate": 1e30, "descent.warm_up": 0.0})
    with pytest.raises(ValueError, match=r"not finite at step [2-7]; lower descent"):
        train.fit(wild, data("train", 200), data("validation", 10))


@pytest.mark.parametrize(
    ("now", "best", "own", "collapsed"),
    [
        (0.5, 0.6, 0.7, False),
        (0.3, 0.6, 0.5, True),  # It fell.
        (0.3, 0.3, 0.7, True),  # It never rose.
        (0.3, 0.3, 0.0, False),
    ],
)
def test_the_detector_compares_with_the_best_and_with_the_own_attack(
    now, best, own, collapsed
):
    detector = train.OverfittingDetector(every=1.0, drop=0.2, gap=0.3)
    assert detector.collapsed(now, best, own) == collapsed


@pytest.mark.parametrize(("growth", "collapsed_at"), [(0.0, 2), (1.0, 6)])
def test_the_own_attack_counts_once_the_radius_has_grown(
    monkeypatch, growth, collapsed_at
):
    monkeypatch.setattr(validation, "quick", quick)
    monkeypatch.setattr(
        setup, "pgd_accuracy", lambda *arguments: lambda variables, key: 0.0
    )
    changes = {"watch.every": 0.5, "watch.gap": 0.01, "data.batch_size": 25}
    changes |= {"ball.growth_epochs": growth}
    few = data("train", 100), data("validation", 20)
    trained = train.fit(ROBUST.changed(changes), *few)
    assert trained.collapsed_at == collapsed_at


def test_a_checkpoint_of_an_earlier_version_is_refused_and_stays(tmp_path):
    """It has the numbers of all methods, None where the recipe gave none."""
    identity = sys.modules["robust_jax.train.fit"]._identity(PLAIN, 0, {})
    saver = OrbaxCheckpointer(tmp_path)
    fresh = setup.set_up(PLAIN, data("train", 32), 0).fresh()
    assert saver.restore(fresh, {**identity, "recipe.method.gamma": "None"}) is None
    saver.save(fresh, wait=True)
    with pytest.raises(ValueError, match="has recipe.method.gamma=None, as an earlier"):
        OrbaxCheckpointer(tmp_path).restore(fresh, identity)
    assert (tmp_path / "0").is_dir()
