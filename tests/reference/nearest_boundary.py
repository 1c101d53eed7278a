"""The least perturbation in a box that changes an affine model's class, in NumPy.

To the boundary with another class, each norm moves coordinates in its own way: all by
one length (Linf), along the normal (L2), those that gain most per unit first (L1) or
those that gain most in all (L0), each up to the face of the box.
"""

import numpy as np


def distance(norm, weights, bias, x, label):
    """The least distance, inf where no class can be reached; box [0, 1]."""
    logits = weights @ x + bias
    others = [k for k in range(len(bias)) if k != label]
    return min(
        to_plane(norm, weights[k] - weights[label], logits[label] - logits[k], x)
        for k in others
    )


def to_plane(norm, normal, gap, x):
    """The least size of a displacement d in the box with normal @ d >= gap > 0."""
    room = np.where(normal > 0, 1 - x, x)
    gain = np.abs(normal) * room
    if gain.sum() < gap:
        return np.inf
    if norm == "l0":
        return 1 + np.searchsorted(np.cumsum(np.sort(gain)[::-1]), gap)
    if norm == "l1":
        order = np.argsort(-np.abs(normal))
        before = np.concatenate([[0], np.cumsum(gain[order])])
        whole = np.searchsorted(before, gap) - 1  # Coordinates that move all the way.
        rest = (gap - before[whole]) / np.abs(normal[order[whole]])
        return room[order[:whole]].sum() + rest
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        pull = middle if norm == "linf" else middle * np.abs(normal)
        moved = np.minimum(pull, room)
        reached = (np.abs(normal) * moved).sum() >= gap
        low, high = (low, middle) if reached else (middle, high)
    moved = np.minimum(high if norm == "linf" else high * np.abs(normal), room)
    return np.abs(moved).max() if norm == "linf" else np.linalg.norm(moved)
