"""Models that JAX does not know, asked on the host."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import (
    ensemble,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)

from robust_jax import attacks, datasets, evaluate, interop, threats
from robust_jax.core import closures, drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.interop.host import name_of

WEIGHTS = np.random.default_rng(0).normal(size=(6, 3))


def scores(batch):
    return batch.reshape(len(batch), -1) @ WEIGHTS


def keys(n):
    return lift.item_keys(0, np.arange(n, dtype=np.uint64))


def test_answers_one_example_a_batch_and_a_batch_of_batches():
    model = interop.from_host(scores, 3)
    images = np.random.default_rng(1).uniform(size=(4, 5, 3, 2)).astype(np.float32)
    expected = scores(images.reshape(-1, 6)).reshape(4, 5, 3)
    np.testing.assert_allclose(model(images[0, 0]), expected[0, 0], rtol=1e-5)
    one = jax.vmap(model)(images[0])
    np.testing.assert_allclose(one, expected[0], rtol=1e-5)
    two = jax.jit(jax.vmap(jax.vmap(model)))(images)
    np.testing.assert_allclose(two, expected, rtol=1e-5)


def test_labels_become_logits():
    model = interop.from_host(lambda b: scores(b).argmax(1), 3, answers="labels")
    x = np.full((3, 2), 0.5, np.float32)
    expected = 2 * np.eye(3)[scores(x[None]).argmax(1)[0]] - 1
    np.testing.assert_array_equal(model(x), expected)


def test_a_step_asks_once_for_the_whole_batch():
    calls = []

    def spied(batch):
        calls.append(len(batch))
        return scores(batch)

    model = interop.from_host(spied, 3)
    images = np.random.default_rng(1).uniform(size=(5, 3, 2)).astype(np.float32)
    labels = scores(images).argmax(1)
    run = drive.hosted(attacks.hop_skip_jump(30), to_the_end=True)
    result = run(keys(5), model, threats.L2(jnp.inf), images, Untargeted(labels))
    jax.block_until_ready(result)
    assert calls == [5] * 31  # The clean images, and 30 queries.


def test_it_has_no_gradient_and_says_so():
    model = interop.from_host(scores, 3)
    run = drive.hosted(attacks.fgsm())
    goal = Untargeted(np.zeros(1, np.int32))
    with pytest.raises(ValueError, match=r"from_host\(...\) has no gradient; take"):
        run(keys(1), model, threats.Linf(0.1), np.zeros((1, 3, 2), np.float32), goal)


@pytest.mark.parametrize(
    ("estimator", "answers"),
    [
        (svm.SVC(kernel="linear"), "scores"),
        (neighbors.KNeighborsClassifier(3), "labels"),
        (ensemble.RandomForestClassifier(20, random_state=0), "scores"),
    ],
    ids=["svm", "k-nn", "forest"],
)
def test_classifiers_of_scikit_learn_fall_to_attacks(estimator, answers):
    data = datasets.load("digits", "test")
    pixels, labels = data.pixels()[:200], data.labels[:200]
    estimator.fit(pixels.reshape(200, -1), labels)
    model = interop.from_sklearn(estimator, answers=answers)
    attack = attacks.rays(300) if answers == "labels" else attacks.square(300)
    run = drive.hosted(attack)
    images, goal = pixels[:20], Untargeted(labels[:20])
    result = run(keys(20), model, threats.Linf(0.4), images, goal)
    fooled = estimator.predict(np.asarray(result.x_adv).reshape(20, -1)) != labels[:20]
    margin = np.asarray(result.margin)
    np.testing.assert_array_equal(margin >= 0, fooled)
    assert fooled.mean() > 0.5


def test_two_classes_have_two_scores():
    data = datasets.load("digits", "test")
    two = data.labels < 2
    pixels, labels = data.pixels()[two], data.labels[two]
    estimator = svm.SVC().fit(pixels.reshape(len(pixels), -1), labels)
    logits = jax.vmap(interop.from_sklearn(estimator))(pixels)
    assert logits.shape == (len(pixels), 2)
    expected = estimator.predict(pixels.reshape(len(pixels), -1))
    np.testing.assert_array_equal(np.argmax(logits, axis=1), expected)


def _three_digits():
    data = datasets.load("digits", "test")
    some = data.labels < 3
    return data.pixels()[some], data.labels[some]


@pytest.mark.parametrize("shape", ["ovo", "ovr"])
def test_what_is_judged_answers_as_predict_does(shape):
    """Pairs of three classes have three columns, which are no scores of classes."""
    pixels, labels = _three_digits()
    estimator = svm.SVC(decision_function_shape=shape)
    estimator = pipeline.make_pipeline(preprocessing.MinMaxScaler(), estimator)
    flat = pixels.reshape(len(pixels), -1)
    says = estimator.fit(flat, labels).predict(flat)
    logits = np.asarray(jax.vmap(interop.from_sklearn(estimator))(pixels))
    np.testing.assert_array_equal(logits.argmax(axis=1), says)
    assert (says == labels).mean() > 0.99


def _pipe(estimator):
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


PAIRS = svm.SVC(decision_function_shape="ovo")
KINDS = {
    "searched": model_selection.GridSearchCV(_pipe(PAIRS), {"svc__C": [1, 2]}, cv=2),
    "pairs": multiclass.OneVsOneClassifier(svm.LinearSVC()),
    "ties": _pipe(neighbors.KNeighborsClassifier(4)),
    "few trees": ensemble.RandomForestClassifier(4, random_state=0),
    "votes": ensemble.VotingClassifier([("a", PAIRS), ("b", naive_bayes.GaussianNB())]),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_classifier_answers_as_predict_does(name, classes):
    """Far from the data too, where scores are equal, and none of them leads."""
    pixels, labels = _three_digits()
    pixels, labels = pixels[labels < classes][:80], labels[labels < classes][:80]
    estimator = KINDS[name].fit(pixels.reshape(len(pixels), -1), labels)
    noise = np.random.default_rng(0).normal(0, 0.5, pixels.shape)
    shown = np.clip(pixels + noise, 0, 1).astype(np.float32)
    logits = np.asarray(jax.vmap(interop.from_sklearn(estimator))(shown))
    says = estimator.predict(shown.reshape(len(shown), -1))
    np.testing.assert_array_equal(logits.argmax(axis=1), says)
    best = np.sort(logits, axis=1)
    assert logits.shape[1] == classes and (best[:, -1] > best[:, -2]).all()


def test_scores_that_seldom_say_what_predict_says_are_refused():
    pixels, labels = _three_digits()
    estimator = svm.SVC(decision_function_shape="ovo").fit(
        pixels.reshape(len(pixels), -1), labels
    )
    with pytest.raises(ValueError, match=r"a column for each class; take answers='lab"):
        interop.from_sklearn(estimator, answers="scores")

    class Wrapped:
        classes_, predict = estimator.classes_, estimator.predict
        decision_function = estimator.decision_function

    model = interop.from_sklearn(Wrapped())
    plan = (evaluate.Stage("square", attacks.square(5)),)
    with pytest.raises(ValueError, match=r"of 64 images; take answers='labels'"):
        evaluate.robustness(model, pixels, labels, threats.Linf(0.1), plan=plan)


def test_a_threshold_of_its_own_decides():
    """predict says 1 from a lead of 0.7 on; the scores follow."""

    class Careful:
        classes_ = np.arange(2)

        def decision_function(self, batch):
            return batch[:, 0] - 0.5

        def predict(self, batch):
            return (batch[:, 0] > 0.7).astype(int)

    x = np.linspace(0, 1, 21, dtype=np.float32)[:, None]
    logits = np.asarray(jax.vmap(interop.from_sklearn(Careful()))(x))
    np.testing.assert_array_equal(logits[:, 1] > logits[:, 0], x[:, 0] > 0.7)


ON_FEW_CORES = """
import os, sys
cores, side = int(sys.argv[1]), int(sys.argv[2])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
os.environ["NPROC"] = str(cores)  # XLA's name for how many workers it has.
import jax, jax.numpy as jnp, numpy as np
import robust_jax as rj
def answers(batch):
    rows = batch.reshape(-1, *batch.shape[-3:])[:, ::8, ::8].mean((1, 2))
    return (100 * (rows - 0.5)).reshape(*batch.shape[:-3], 3)
images = np.random.default_rng(0).uniform(size=(64, side, side, 3)).astype("float32")
labels, threat = answers(images).argmax(1), rj.threats.Linf(0.05)
model, attack = rj.interop.from_host(answers, 3), rj.attacks.square(4)
rj.attack(attack, model, images, labels, threat)
plan = (rj.evaluate.Stage("square", attack, restarts=2),)
given = images, labels, threat
report = rj.evaluate.robustness(model, *given, plan=plan, audit=False)
print(len(report.clean), report.clean.all())
def own(x):
    call = lambda batch: answers(np.asarray(batch)).astype("float32")
    shape = jax.ShapeDtypeStruct((3,), jnp.float32)
    return jax.pure_callback(call, shape, x, vmap_method="broadcast_all")
if cores == 1:
    try:
        rj.attack(attack, own, images, labels, threat)
    except ValueError as error:
        print(error)
    rj.attack(attack, own, images[:, :8, :8], labels, threat)
"""


@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("side", [96, pytest.param(224, marks=pytest.mark.full)])
def test_on_few_cores_large_batches_end(cores, side):
    """A worker of the CPU device must not wait for itself; of the user's it may."""
    end = subprocess.run(
        [sys.executable, "-c", ON_FEW_CORES, str(cores), str(side)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    first, *said = end.stdout.splitlines() or [""]
    assert first == "64 True" and end.returncode == 0, end.stderr
    if cores == 1:
        assert "by pure_callback with 7,077,888 bytes" in said[0] or side != 96
        assert said[0].endswith("pass interop.from_host(function, num_classes)")


def test_how_it_is_asked_depends_on_where_the_program_runs():
    """A layout may run on the CPU of a machine whose default is an accelerator."""
    model = interop.from_host(scores, 3, name="v2")
    program = jax.make_jaxpr(jax.vmap(model))
    found = closures.equations(program(np.ones((4, 6), np.float32)).jaxpr)
    branches = {
        equation.primitive.name: equation
        for equation in found
        if "callback" in equation.primitive.name
    }
    assert set(branches) == {"buffer_callback", "pure_callback"}
    names = {name_of(e.params["callback"]) for e in branches.values()}
    assert names == {"v2"}


# That labels are asked for rightly, k-nearest neighbours show above.
@pytest.mark.parametrize(
    "answers", ["scores", pytest.param("labels", marks=pytest.mark.full)]
)
def test_an_evaluation_takes_it(answers):
    data = datasets.load("digits", "test")
    pixels, labels = data.pixels()[:200], data.labels[:200]
    estimator = svm.SVC(kernel="linear").fit(pixels.reshape(200, -1), labels)
    attack = {"scores": attacks.square(50), "labels": attacks.rays(50)}[answers]
    plan = (evaluate.Stage("black box", attack),)
    report = evaluate.robustness(
        interop.from_sklearn(estimator, answers=answers),
        pixels[:16],
        labels[:16],
        threat=threats.Linf(0.3),
        plan=plan,
    )
    assert report.clean.all() and report.robust_accuracy.value < 0.7


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: interop.from_host(scores, 1), "num_classes=1; expected"),
        (lambda: interop.from_host(scores, 3, answers="odds"), "answers='odds'"),
        (lambda: interop.from_sklearn(_fitted("ab")), "expected 0, 1"),
        (lambda: interop.from_sklearn(svm.SVC()), "of type SVC; expected a fitted"),
        (lambda: interop.from_sklearn(None), "of type NoneType; expected a fitted"),
        (lambda: interop.from_host(None, 3), "batch_fn=None; expected a function"),
        (
            lambda: interop.from_host(scores, 3, name=np.zeros((9, 9))),
            r"name=array\(\[\[0., 0., .*\.\.\.; expected a text that is not empty",
        ),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises((ValueError, TypeError), match=part):
        call()


def _fitted(classes):
    return svm.SVC().fit(np.arange(8.0).reshape(4, 2), list(classes) * 2)


@pytest.mark.parametrize(
    ("function", "answers", "part"),
    [
        (lambda b: scores(b)[:, :2], "scores", r"expected \(1, 3\)"),
        (lambda b: scores(b), "labels", r"expected \(1,\)"),
        (lambda b: np.full(len(b), 3), "labels", "the label 3"),
    ],
)
def test_answers_that_do_not_fit_are_refused(function, answers, part):
    model = interop.from_host(function, 3, answers=answers)
    with pytest.raises(Exception, match=part):
        model(np.zeros((3, 2), np.float32)).block_until_ready()
