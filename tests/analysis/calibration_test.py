"""Expected calibration error by hand."""

import numpy as np
import pytest

from robust_jax import analysis


def test_by_hand():
    confidence = np.array([0.95, 0.95, 0.55, 0.55, 0.55, 0.55])
    correct = np.array([True, False, True, True, False, False])
    # Bins of a tenth: |1.9 - 1| + |2.2 - 2| of 6.
    found = analysis.calibration_error(confidence, correct, bins=10)
    assert found == pytest.approx((0.9 + 0.2) / 6)


def test_errors_of_one_bin_cancel_and_those_of_two_do_not():
    correct = np.array([True, False])
    low_and_high = np.array([0.4, 0.6])
    assert analysis.calibration_error(low_and_high, correct, 1) == pytest.approx(0)
    assert analysis.calibration_error(low_and_high, correct, 2) == pytest.approx(0.6)


def test_a_bin_holds_its_upper_end():
    """Guo et al.'s bins are open below: 1/2 is of the lower of two."""
    confidence, correct = np.array([0.5, 0.4]), np.array([False, True])
    # One bin: |0.9 - 1| of 2; in two bins it would be |0.5 - 0| + |0.4 - 1| of 2.
    assert analysis.calibration_error(confidence, correct, 2) == pytest.approx(0.05)


def test_the_ends_count():
    ends = np.array([0.0, 1.0])
    assert analysis.calibration_error(ends, np.array([False, True])) == 0


def test_bad_confidences():
    with pytest.raises(ValueError, match=r"outside \[0, 1\]; expected softmax"):
        analysis.calibration_error(np.array([1.2]), np.array([True]))
    with pytest.raises(ValueError, match="0 confidences for 0 answers"):
        analysis.calibration_error(np.array([]), np.array([]))
