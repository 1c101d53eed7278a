"""FAB-T in NumPy float64 on a tanh net of one hidden layer, with its ways to a plane.

Written from Croce & Hein, "Minimally distorted adversarial examples with a fast
adaptive boundary attack", ICML 2020, Alg. 1, with the target's boundary only.
"""

import numpy as np

from tests.reference.projections import size


def shortest(norm, normal, gap, x, lower, upper):
    """The smallest displacement in the box onto normal @ d = gap, or to its corner."""
    weight, gap, sign = np.abs(normal), abs(gap), np.sign(normal) * np.sign(gap)
    ends = np.where(sign > 0, upper, np.where(sign < 0, lower, x))
    room = np.abs(ends - x)
    if weight @ room <= gap:
        return sign * room
    moved = np.zeros_like(x)
    if norm == "l1":
        for k in np.argsort(-weight):
            moved[k] = min(room[k], gap / weight[k]) if gap > 0 else 0.0
            gap -= weight[k] * moved[k]
        return sign * moved
    rate = weight if norm == "l2" else np.ones_like(weight)
    free = weight > 0
    length, gained = 0.0, 0.0  # Up to the k-th coordinate to meet its face.
    for k in np.flatnonzero(free)[np.argsort(room[free] / rate[free])]:
        face = room[k] / rate[k]
        slope = weight @ np.where(free, rate, 0)
        if gained + slope * (face - length) >= gap:
            length += (gap - gained) / slope
            break
        length, gained = face, gained + slope * (face - length)
        free = free & (np.arange(len(x)) != k)
    return sign * np.minimum(length * rate, room)


def towards(weights, x0, label, target, norm, steps, start=None):
    """All points reached [steps, D], which of them are adversarial, and the iterates.

    The second of the iterates is the first point, pulled back if it is adversarial.
    """
    first, second = weights
    x, points, wins, iterates = x0 if start is None else start, [], [], []
    for _ in range(steps):
        iterates.append(x)
        hidden = np.tanh(first @ x)
        row = second[target] - second[label]
        value, normal = row @ hidden, first.T @ (row * (1 - hidden**2))
        offset = normal @ x - value  # The plane is normal @ z = offset.
        near = shortest(norm, normal, offset - normal @ x, x, 0.0, 1.0)
        far = shortest(norm, normal, offset - normal @ x0, x0, 0.0, 1.0)
        alpha = min(size(norm, near) / (size(norm, near) + size(norm, far)), 0.1)
        x = (1 - alpha) * (x + 1.05 * near) + alpha * (x0 + 1.05 * far)
        x = np.clip(x, 0, 1)
        logits = second @ np.tanh(first @ x)
        points.append(x)
        wins.append(np.delete(logits, label).max() >= logits[label])
        if wins[-1]:
            x = x0 + 0.9 * (x - x0)
    return np.array(points), np.array(wins), np.array(iterates)
