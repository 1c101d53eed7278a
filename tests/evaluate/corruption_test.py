"""Accuracy under common corruptions."""

import jax
import numpy as np
import pytest

from robust_jax import datasets, evaluate
from robust_jax.threats import corruptions
from tests import victims

NAMES = ("contrast", "gaussian_noise")
DATA = datasets.load("digits", "test")
PIXELS = DATA.pixels()[:40]
MODEL = victims.two_layer_victim((8, 8, 1), 10)
LABELS = victims.predicted(MODEL, PIXELS)


def test_counts_what_the_net_gets_right():
    found = evaluate.corrupted_accuracy(MODEL, PIXELS, LABELS, NAMES, (1, 5), tile=16)
    assert found.clean.all() and found.right.shape == (2, 2, 40)
    by_hand = [corruptions.corrupt("contrast", jax.random.key(0), x, 5) for x in PIXELS]
    right = victims.predicted(MODEL, np.stack(by_hand)) == LABELS
    np.testing.assert_array_equal(found.right[0, 1], right)
    assert found.accuracy("contrast", 5).successes == right.sum()
    assert found.accuracy("contrast").n == 80
    assert found.mean == pytest.approx(found.right.mean())
    rows = found.rows()
    assert [row["corruption"] for row in rows] == list(NAMES)
    assert rows[0]["severity_5"].value == right.mean()


def test_order_subset_and_other_corruptions_change_nothing():
    everyone = evaluate.corrupted_accuracy(MODEL, PIXELS, LABELS, NAMES, (5,), tile=16)
    order = np.array([7, 3, 31, 0, 12])
    some = evaluate.corrupted_accuracy(
        MODEL, PIXELS[order], LABELS[order], NAMES[1:], (4, 5), tile=16
    )
    np.testing.assert_array_equal(some.right[0, 1], everyone.right[1, 0][order])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"names": ("fogg",)}, "unknown corruption 'fogg'"),
        ({"severities": (0,)}, "severity=0; expected an integer from 1 to 5"),
        ({"tile": 0}, "tile=0"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(change, part):
    with pytest.raises(ValueError, match=part):
        evaluate.corrupted_accuracy(MODEL, PIXELS, LABELS, **change)


def test_what_was_not_asked_for_is_refused():
    found = evaluate.corrupted_accuracy(MODEL, PIXELS[:4], LABELS[:4], NAMES, (1,))
    with pytest.raises(ValueError, match="severity=2; expected one of"):
        found.accuracy("contrast", 2)
    with pytest.raises(ValueError, match="unknown corruption 'fog'"):
        found.accuracy("fog")
