"""How much a difference is magnified, so that it can be seen."""

import math

import numpy as np


def magnification(difference: np.ndarray) -> float:
    """The largest round factor (1, 1.5, 2, 3, 5 times a power of ten) that keeps
    `factor * difference` within [-0.5, 0.5]; at least 0.5; 1 if nothing differs.

    >>> rj.report.figures.magnification(np.array([0.1, -0.05]))
    5.0
    """
    largest = float(np.max(np.abs(difference), initial=0.0))
    if largest == 0:
        return 1.0
    room = 0.5 / largest * (1 + 1e-3)  # 0.1 in float32 is a little more than 0.1.
    if room < 1:
        return 0.5
    power = 10.0 ** math.floor(math.log10(room))
    return max(digit * power for digit in (1, 1.5, 2, 3, 5) if digit * power <= room)
