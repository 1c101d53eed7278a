"""Accuracy under a threat whose adversary chooses parameters, not pixels."""

import itertools

import jax
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.evaluate import Stage, robustness
from tests import victims

SHAPE, N, COUNTS = (6, 6, 1), 24, (5, 3, 3)
MODEL = victims.two_layer_victim(SHAPE, 3, seed=1, scale=2.0)
IMAGES = victims.inputs(SHAPE, N, seed=2)
LABELS = victims.predicted(MODEL, IMAGES)
THREAT = threats.RotationTranslation(0.5, rotation=30.0, translation=1.0)
GRID = (Stage("grid", attacks.through(attacks.grid(COUNTS))),)


def judged(threat=THREAT, plan=GRID, **options):
    return robustness(MODEL, IMAGES, LABELS, threat, plan=plan, audit=False, **options)


def test_the_grid_breaks_what_some_point_of_it_breaks_and_no_more():
    report = judged()
    lines = [np.linspace(-0.5, 0.5, n) for n in COUNTS]
    points = np.array(list(itertools.product(*lines)), np.float32)
    turned = jax.vmap(jax.vmap(THREAT.apply, (None, 0)), (0, None))(IMAGES, points)
    answers = np.stack([victims.predicted(MODEL, images) for images in turned])
    wrong = answers != LABELS[:, None]
    assert 3 < wrong.any(axis=1).sum() < N - 3
    np.testing.assert_array_equal(report.winner == 0, wrong.any(axis=1))
    for n in np.flatnonzero(wrong.any(axis=1)):
        nearest = np.abs(turned[n] - report.x_adv[n]).max(axis=(1, 2, 3)).argmin()
        np.testing.assert_allclose(turned[n][nearest], report.x_adv[n], atol=1e-6)
        assert wrong[n, nearest]
    assert report.claims.passed and "the parameters behind them not" in str(report)


def test_limits_of_each_example_and_subsets():
    eps = np.where(np.arange(N) % 2, 0.5, 0.0).astype(np.float32)
    found = judged(THREAT.replace(eps=eps))
    expected = (judged().winner == 0) & (eps > 0)
    np.testing.assert_array_equal(found.winner == 0, expected)
    few = judged(THREAT.replace(eps=eps), subset=slice(3, 9))
    np.testing.assert_array_equal(few.winner == 0, expected[3:9])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"plan": "standard"}, "expected stages for rotation-translation"),
        ({"plan": GRID}, "audit=True; expected False for rotation-translation"),
        (
            {"plan": (Stage("pgd", attacks.pgd(2)),), "audit": False},
            r"threat=RotationTranslation limits parameters, and .*through\(attack\)",
        ),
    ],
)
def test_what_attacks_pixels_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        robustness(MODEL, IMAGES, LABELS, THREAT, **options)
