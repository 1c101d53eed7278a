"""Honest models on the host: what needs a gradient is not asked, nothing flagged."""

import functools

import numpy as np
import pytest
from sklearn import ensemble, linear_model

from robust_jax import attacks, datasets, interop, threats
from robust_jax.evaluate import Stage, robustness
from robust_jax.evaluate.audit import spending
from robust_jax.evaluate.audit.finding import PASS, SKIPPED
from robust_jax.evaluate.hard_label import hard_label

N, INTERVAL = 64, 23  # So few images know the accuracy to a tenth.
LABELS = Stage("labels", hard_label(300))
PLANS = {"scores": (Stage("square", attacks.square(300)), LABELS), "labels": (LABELS,)}
ESTIMATORS = {
    "forest": ensemble.RandomForestClassifier(20, random_state=0),
    "linear": linear_model.LogisticRegression(max_iter=1000),
}


@functools.cache
def fitted(name):
    data = datasets.load("digits", "train")
    pixels = data.pixels()[:500]
    return ESTIMATORS[name].fit(pixels.reshape(len(pixels), -1), data.labels[:500])


@functools.cache
def audit_of(name, answers):
    data = datasets.load("digits", "test")
    model = interop.from_sklearn(fitted(name), answers=answers)
    x, labels, threat = data.pixels()[:N], data.labels[:N], threats.Linf(0.05)
    report = robustness(model, x, labels, threat, plan=PLANS[answers])
    assert 0 < report.robust_accuracy.value < report.clean_accuracy.value
    return report.audit


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("answers", PLANS)
def test_an_honest_classifier_is_not_flagged(name, answers):
    audit = audit_of(name, answers)
    assert not [f for f in audit.flags if f.number != INTERVAL], str(audit)
    verdicts = {f.number: f.verdict for f in audit.findings}
    asked = {1, 2, 3, 4, 7, 24, 25}
    assert {verdicts[number] for number in asked} == {PASS}
    # What labels found beyond scores; nothing, where labels alone were asked.
    assert verdicts[14] == (PASS if answers == "scores" else SKIPPED)


def test_what_needs_a_gradient_says_that_there_is_none():
    findings = {f.number: f for f in audit_of("forest", "scores").findings}
    for number in spending.BY_GRADIENTS:
        assert findings[number].verdict == SKIPPED and findings[number].points == 0
        assert "no gradient" in findings[number].says


def test_a_model_on_the_host_that_answers_with_nan_is_flagged():
    """Nothing leads uphill, but the threat set has points beside its images."""
    data = datasets.load("digits", "test")
    pixels = data.pixels()[:N]
    given = fitted("linear")

    def scores(batch):
        flat = batch.reshape(len(batch), -1)
        on_grid = (flat * 16 == np.round(flat * 16)).all(axis=1)
        return np.where(on_grid[:, None], given.decision_function(flat), np.nan)

    model, plan = interop.from_host(scores, 10), (Stage("none", attacks.square(1)),)
    threat = threats.Linf(0.05)
    report = robustness(model, pixels, data.labels[:N], threat, plan=plan)
    # What is NaN counts as broken, and nothing is left: of 26, which costs nothing.
    assert [flag.number for flag in report.audit.flags] == [26]
    more = report.audit_again(points=16)
    assert "somewhere in the threat set" in more.audit.findings[0].says
