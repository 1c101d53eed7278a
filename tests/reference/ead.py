"""The elastic-net attack on an affine model, in NumPy, by the paper's letter.

Written from the paper and the behaviour of the authors' code, but that the point
ahead is judged, and clipped; float64, one example.
"""

import numpy as np

from tests.reference.carlini_wagner import margin_and_slope


def shrunk(z, x, beta):
    """Eq. 5 of the paper."""
    out = x.copy()
    for k in range(len(z)):
        if z[k] - x[k] > beta:
            out[k] = min(z[k] - beta, 1.0)
        elif z[k] - x[k] < -beta:
            out[k] = max(z[k] + beta, 0.0)
    return out


def nearest(
    weights, bias, x, label, *, rounds, iterations, step_size, first_const, beta
):
    """Least L1 and least elastic net of the adversarial points; without aborts."""
    const, low, high = first_const, 0.0, np.inf
    least_l1 = least_net = np.inf
    for _ in range(rounds):
        point, ahead, won = x, x, False
        for k in range(iterations):
            margin, slope = margin_and_slope(weights, bias, ahead, label)
            if margin >= 0:
                won, l1 = True, np.abs(ahead - x).sum()
                least_l1 = min(least_l1, l1)
                least_net = min(least_net, beta * l1 + ((ahead - x) ** 2).sum())
            grad = 2 * (ahead - x) - const * (margin < 0) * slope
            old, length = point, step_size * (1 - k / iterations) ** 0.5
            point = shrunk(ahead - length * grad, x, beta)
            ahead = np.clip(point + k / (k + 3) * (point - old), 0, 1)
        low, high = (low, min(high, const)) if won else (max(low, const), high)
        const = 10 * const if np.isinf(high) else (low + high) / 2
    return least_l1, least_net
