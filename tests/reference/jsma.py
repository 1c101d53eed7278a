"""JSMA on a tanh net of one hidden layer, in NumPy: every pair is tried.

After Papernot et al., EuroS&P 2016, Alg. 2 and 3, with the target chosen anew in every
step if there is none.
"""

from itertools import combinations

import numpy as np


def jsma(weights, x, label, target, changes, size, steps, most=np.inf):
    """The last point; `size` coordinates at once, at most `most` in all.

    Where no saliency is positive, the lead over the mean of the others decides; where
    no pair will do, a single one.
    """
    first, second = weights
    z = x.copy()
    for _ in range(steps):
        hidden = np.tanh(first @ z)
        logits, slopes = second @ hidden, (second * (1 - hidden**2)) @ first
        lead = np.delete(logits, label).max() - logits[label]
        if lead >= 0:
            return z
        goal = target
        if goal is None:
            goal = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
        others = slopes.sum(0) - slopes[goal]
        best, value = None, (False, 0.0)
        moves = [
            (k, c)
            for c in changes
            for k in range(len(x))
            if (z[k] < 1 if c > 0 else z[k] > 0) and c * (z[k] - x[k]) >= 0
        ]
        for group in [g for n in range(size, 0, -1) for g in combinations(moves, n)]:
            if best is not None and len(group) < len(best):
                break  # A pair comes before a single one.
            places = {k for k, _ in group}
            moved = places | set(np.flatnonzero(z != x))
            if len(places) < len(group) or len(moved) > most:
                continue
            rise = sum(c * slopes[goal][k] for k, c in group)
            fall = sum(c * others[k] for k, c in group)
            salient = rise > 0 > fall
            lead = rise - fall / (len(logits) - 1)
            score = (salient, -rise * fall if salient else lead)
            if score > value:
                best, value = group, score
        if best is None:
            return z
        for k, c in best:
            z[k] = np.clip(z[k] + c, 0, 1)
    return z
