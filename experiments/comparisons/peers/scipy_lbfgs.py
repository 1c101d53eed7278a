"""Szegedy's attack as a loop of SciPy's L-BFGS-B over one image: the baseline."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

Vector = np.ndarray
LossFn = Callable[[Vector], tuple[float, Vector, float]]  # x -> loss, gradient, margin


class Found(NamedTuple):
    """What the loop found for one image."""

    distance: float  # Euclidean; inf if nothing was adversarial
    evaluations: int


def sigmoid_net(params: Mapping[str, Any], target: int) -> LossFn:
    """Cross entropy of a class, its gradient and margin for a net of sigmoid layers.

    Args:
        params: of Flax's Dense layers, in their order: kernel and bias.
        target: the class to reach.
    """
    layers = [
        (np.asarray(params[name]["kernel"], float), np.asarray(params[name]["bias"]))
        for name in sorted(params, key=lambda name: int(name.split("_")[1]))
    ]

    def loss_fn(x: Vector) -> tuple[float, Vector, float]:
        units = [x]
        for kernel, bias in layers[:-1]:
            units.append(1 / (1 + np.exp(-(units[-1] @ kernel + bias))))
        logits = units[-1] @ layers[-1][0] + layers[-1][1]
        likely = np.exp(logits - logits.max())
        likely /= likely.sum()
        back = likely.copy()
        back[target] -= 1
        for (kernel, _), unit in zip(layers[:0:-1], units[:0:-1], strict=True):
            back = (kernel @ back) * unit * (1 - unit)
        margin = logits[target] - np.delete(logits, target).max()
        return -np.log(likely[target]), layers[0][0] @ back, margin

    return loss_fn


def nearest(
    loss_fn: LossFn,
    x: Vector,
    *,
    ftol: float,
    memory: int = 10,
    iterations: int = 100,
    decades: int = 8,
    halvings: int = 8,
) -> Found:
    """The nearest adversarial point that was seen, by the schedule of `attacks.lbfgs`.

    Args:
        loss_fn: loss, gradient and margin at a point [n].
        x: the image, [n], in [0, 1].
        ftol: relative decrease at which a solve ends.
        memory, iterations, decades, halvings: as there.
    """
    best, evaluations = np.inf, 0
    good, bad, c = 0.0, np.inf, 1.0

    def penalised(point: Vector) -> tuple[float, Vector]:
        nonlocal best, evaluations
        evaluations += 1
        loss, grad, margin = loss_fn(point)
        delta = point - x
        squared = delta @ delta
        if margin >= 0:
            best = min(best, float(np.sqrt(squared)))
        return c * squared + loss, 2 * c * delta + grad

    solves = left = 0
    while solves <= decades and left < halvings:
        bracketed = good > 0 and bad < np.inf
        found = optimize.minimize(
            penalised,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=optimize.Bounds(0, 1),
            options={"maxcor": memory, "maxiter": iterations, "ftol": ftol},
        )
        won = loss_fn(found.x)[2] >= 0
        good, bad = (c, bad) if won else (good, c)
        solves, left = solves + (not bracketed), left + bracketed
        if good > 0 and bad < np.inf:
            c = np.sqrt(good * bad)
        else:
            c = 10 * good if won else bad / 10
    return Found(best, evaluations)
