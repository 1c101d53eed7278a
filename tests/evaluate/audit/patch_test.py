"""The audit under patches: what applies runs, the rest says why not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import robustness
from robust_jax.evaluate.audit import ladder
from tests import victims

SHAPE = (6, 6, 1)


@pytest.fixture(scope="module")
def audit():
    model = victims.two_layer_victim(SHAPE, 4, seed=1, scale=2.0)
    images = victims.inputs(SHAPE, 24, seed=2)
    labels = victims.predicted(model, images)
    threat = threats.Patch(2.0)
    report = robustness(model, images, labels, threat, plan="basic", points=24)
    assert 0 < report.robust_accuracy.value < 1 and report.claims.passed
    return {finding.number: finding for finding in report.audit.findings}


def test_comparisons_begin_at_the_image():
    """Whose gradient says where a patch pays; a random place seldom does."""
    for attack in (ladder.short("patch"), ladder.long("patch")):
        state = attack.init(
            jax.random.key(0),
            threats.Patch(2.0),
            jnp.full(SHAPE, 0.5),
            Untargeted(0),
            jnp.zeros(2),
        )
        np.testing.assert_array_equal(state.iterate, 0.5)


def test_places_are_found_that_noise_does_not_find(audit):
    for number in (9, 10, 11, 17):
        assert audit[number].verdict == "pass", audit[number]


def test_what_is_for_balls_says_so(audit):
    assert "knows neither L0 nor a patch" in audit[14].says
    assert "where a patch was planted" in audit[19].says
    assert "random search of 300 queries" in audit[12].says
    assert audit[8].verdict == "pass" and np.isfinite(audit[8].value)
