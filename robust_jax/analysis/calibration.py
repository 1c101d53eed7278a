"""Is a net as often right as it is sure? (host)"""

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import checks


def calibration_error(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """The expected calibration error, a share.

    Answers are sorted by confidence into bins of equal width; of each bin the
    difference of mean confidence and accuracy counts by its share of the answers.

    Args:
        confidence: the softmax of the answer, in [0, 1], shape [N], N >= 1.
        correct: whether the answer is right, shape [N].
        bins: how many.
    Raises: ValueError: no answer; a confidence outside [0, 1].
    References: Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    checks.positive_integer("bins", bins)
    confidence = np.asarray(confidence, np.float64)
    if len(confidence) == 0 or len(confidence) != len(correct):
        raise ValueError(
            f"{len(confidence)} confidences for {len(correct)} answers; expected one "
            "each, and at least one"
        )
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():
        raise ValueError("confidence outside [0, 1]; expected softmax probabilities")
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(int)
    surplus = np.bincount(place, confidence - correct, minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))
