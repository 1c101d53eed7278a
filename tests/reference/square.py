"""The Square Attack in NumPy float64, given its random draws.

After Andriushchenko et al. (ECCV 2020), Alg. 1 to 3, for square images [n, n, C]; in
L1, the changes of AutoAttack: faster falling pyramids, sums for squares, a projection.
"""

import functools
import math

import numpy as np

from tests.reference import projections

PUBLISHED_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def share(proposal, initial=0.8):
    """The share of the pixels in the window of a proposal, counted from 0."""
    return initial / 2 ** sum(proposal > halving for halving in PUBLISHED_HALVINGS)


def side(norm, proposal, n):
    """The side of the window."""
    wanted = round(math.sqrt(share(proposal) * n * n))
    if norm == "linf":
        return max(wanted, 1)
    wanted = max(wanted, 3)
    return min(wanted if wanted % 2 else wanted + 1, n)


def pyramid(height, width, norm):
    """Squares that grow by one pixel to each side, laid on top of each other."""
    found = np.zeros((height, width))
    middle_row, middle_column = height // 2, width // 2
    for k in range(max(height, width) // 2 + 1):
        for row in range(middle_row - k, middle_row + k + 1):
            for column in range(middle_column - k, middle_column + k + 1):
                if 0 <= row < height and 0 <= column < width:
                    found[row, column] += (k + 1.0) ** {"l2": -2, "l1": -4}[norm]
    return found / projections.size(norm, found) if found.size else found


@functools.cache
def pattern(n, norm, turned):
    """A pyramid above an opposite one, size 1; turned: beside it."""
    found = np.zeros((n, n))
    found[: n // 2] = pyramid(n // 2, n, norm)
    found[n // 2 :] = -pyramid(n - n // 2, n, norm)
    found /= projections.size(norm, found)
    return found.T if turned else found


def feasible(norm, x, delta, eps):
    """The displacement brought to the threat's size and into the box."""
    if norm == "linf":
        return np.clip(np.clip(x + delta, x - eps, x + eps), 0, 1)
    if norm == "l2":
        return np.clip(x + eps * delta / projections.size(norm, delta), 0, 1)
    flat = projections.by_bisection(norm, (x + delta).ravel(), x.ravel(), eps, 0, 1)
    return flat.reshape(x.shape)


def start(norm, x, eps, signs, turned):
    """Stripes with signs [1, n, C], or tiles with signs [rows, columns, C]."""
    if norm == "linf":
        return feasible(norm, x, eps * signs * np.ones_like(x), eps)
    n, tile, delta = len(x), len(x) // 5, np.zeros_like(x)
    first = (n - tile * (n // tile)) // 2
    for row in range(n // tile):
        for column in range(n // tile):
            top, left = first + row * tile, first + column * tile
            delta[top : top + tile, left : left + tile] = (
                pattern(tile, norm, bool(turned[row, column]))[..., None]
                * signs[row, column]
            )
    return feasible(norm, x, delta, eps)


def proposal(norm, x, accepted, eps, s, offsets, signs, turned):
    """What the next query evaluates.

    Args:
        s: side of the window.
        offsets: [2, 2], row and column of the window and of the one to clear.
        signs: [C].
        turned: see `pattern`.
    """
    (top, left), (clear_top, clear_left) = offsets
    window = np.s_[top : top + s, left : left + s]
    delta = accepted - x
    if norm == "linf":
        delta[window] += 2 * eps * signs
        return feasible(norm, x, delta, eps)
    cleared = np.s_[clear_top : clear_top + s, clear_left : clear_left + s]
    either = np.zeros(x.shape[:2], bool)
    either[window] = either[cleared] = True
    grown = np.zeros((s, s, x.shape[2]))
    for c in range(x.shape[2]):
        old = delta[window][..., c]
        size = projections.size(norm, old)
        grown[..., c] = signs[c] * pattern(s, norm, bool(turned))
        grown[..., c] += old / size if size else 0
        freed = projections.size(norm, delta[either][:, c])
        used = projections.size(norm, delta)
        if norm == "l2":
            budget = math.sqrt(max(eps**2 - used**2, 0) / x.shape[2] + freed**2)
        else:
            budget = max(eps - used, 0) + freed * x.shape[2]
        grown[..., c] *= budget / projections.size(norm, grown[..., c])
    delta[cleared] = 0
    delta[window] = grown
    return feasible(norm, x, delta, eps)


def search(norm, objective, x, eps, tiles, windows):
    """All evaluated points, the points kept after each query, and their objectives.

    Args:
        objective: [n, n, C] -> number, to be climbed.
        tiles: (signs, turned) of the start.
        windows: per proposal (offsets, signs, turned).
    """
    kept = start(norm, x, eps, *tiles)
    value = objective(kept)
    history = [(kept, kept, value)]
    for i, draws in enumerate(windows):
        point = proposal(norm, x, kept, eps, side(norm, i, len(x)), *draws)
        if objective(point) > value:
            kept, value = point, objective(point)
        history.append((point, kept, value))
    return [np.array(column) for column in zip(*history, strict=True)]
