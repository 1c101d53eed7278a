"""Projections onto ball and box in NumPy float64: by bisection, QP and enumeration."""

import itertools

import numpy as np
from scipy import optimize


def size(norm: str, delta: np.ndarray) -> float:
    """The norm of a displacement."""
    absolute = np.abs(delta)
    return {
        "linf": absolute.max(),
        "l2": np.sqrt((absolute**2).sum()),
        "l1": absolute.sum(),
        "l0": float((absolute != 0).sum()),
    }[norm]


def by_bisection(norm, x, x0, eps, lower, upper):
    """L2 or L1: 200 halvings of the multiplier of the norm's constraint."""

    def point(multiplier):
        if norm == "l2":
            moved = (x - x0) / (1 + multiplier)
        else:
            moved = np.sign(x - x0) * np.maximum(np.abs(x - x0) - multiplier, 0)
        return np.clip(x0 + moved, lower, upper)

    low, high = 0.0, 1e12
    if size(norm, point(low) - x0) <= eps:
        return point(low)
    for _ in range(200):
        middle = np.sqrt(max(low, 1e-12) * high)
        if size(norm, point(middle) - x0) > eps:
            low = middle
        else:
            high = middle
    return point(high)


def by_programming(norm, x, x0, eps, lower, upper):
    """L2 or L1 by SLSQP; the displacement is up - down, both of them >= 0."""
    d = len(x)
    bounds = [(0, b) for b in upper - x0] + [(0, b) for b in x0 - lower]

    def split(v):
        return v[:d] - v[d:]

    def objective(v):
        gap = x0 + split(v) - x
        return gap @ gap, 2 * np.concatenate([gap, -gap])

    def slack(v):
        return eps - v.sum() if norm == "l1" else eps**2 - split(v) @ split(v)

    def slack_grad(v):
        delta = split(v)
        return -np.ones(2 * d) if norm == "l1" else 2 * np.concatenate([-delta, delta])

    result = optimize.minimize(
        objective,
        np.zeros(2 * d),
        jac=True,
        method="SLSQP",
        bounds=bounds,
        constraints=[{"type": "ineq", "fun": slack, "jac": slack_grad}],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return x0 + split(result.x)


def by_enumeration(x, x0, eps, lower, upper):
    """L0: the nearest over all sets of floor(eps) coordinates."""
    count = min(int(eps), len(x))
    points = []
    for moved in itertools.combinations(range(len(x)), count):
        point = x0.copy()
        point[list(moved)] = np.clip(x, lower, upper)[list(moved)]
        points.append(point)
    return min(points, key=lambda point: ((point - x) ** 2).sum())
