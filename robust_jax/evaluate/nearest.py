"""The library's choice of minimum-norm attacks, one plan for each norm."""

from typing import Any, NamedTuple

import numpy as np

from robust_jax import attacks
from robust_jax.core import checks
from robust_jax.core.types import LogitsFn
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.stages import Stage, likeliest_targets
from robust_jax.losses import objectives


class NearestPlan(NamedTuple):
    """Minimum-norm attacks whose nearest find counts."""

    name: str
    stages: tuple[Stage, ...]
    line_search: int = 0  # forwards per example along the way from the find back to x


def nearest(norm: str) -> NearestPlan:
    """The default plan of a norm: at most 1,000 forwards and backwards per example.

    FAB converges fast towards few targets on nets that are nearly linear; bisected
    APGD and proximal descent go on where gradients mislead it. Which of them, with
    which share of the budget, was chosen on validation images of three nets (digits
    and MNIST) for the least mean distance. Bisection along the segment to x then takes
    the last half per cent, but in L0.

    Args:
        norm: "linf", "l2", "l1" or "l0".
    Raises: ValueError: an unknown norm; the nearest one is suggested.
    """
    checks.known_name("norm", norm, _STAGES)
    return NearestPlan("nearest", _STAGES[norm], 0 if norm == "l0" else _HALVINGS)


def _fab(steps: int, targets: int) -> Stage:
    return Stage(f"fab-{targets}", attacks.fab(steps), likeliest_targets(targets))


def _pdpgd(steps: int, step_size: float) -> Stage:
    return Stage(f"pdpgd-{step_size}", attacks.pdpgd(steps, step_size))


_HALVINGS = 12
_STAGES = {
    "linf": (
        Stage("apgd", attacks.minimal_apgd(objectives.cross_entropy, 24, 10)),
        _fab(17, 9),
    ),
    "l2": (_fab(9, 9), _fab(37, 3), _pdpgd(193, 0.3)),
    "l1": (_fab(20, 5), _pdpgd(167, 0.2), _pdpgd(167, 0.3)),
    "l0": (
        _pdpgd(198, 0.2),
        _pdpgd(149, 0.4),
        Stage("sigma-zero", attacks.sigma_zero(147)),
    ),
}


def drawn_in(
    model: LogitsFn,
    threat: Any,
    images: np.ndarray,
    x_adv: np.ndarray,
    labels: np.ndarray,
    halvings: int,
    tile: int,
) -> np.ndarray:
    """Adversarial points drawn towards x as far as they stay so, shape [N, *S].

    Bisection between x and x_adv; a tie of logits and non-finite ones are adversarial.

    Args:
        images, x_adv, labels: x, an adversarial point and the true class of each.
        halvings: forwards per example, >= 0.
        tile: examples per forward.
    """
    low, high = np.zeros(len(images)), np.ones(len(images))
    lower, upper = (
        np.asarray(end, x_adv.dtype) for end in (threat.lower, threat.upper)
    )
    way = x_adv - images
    best = x_adv.copy()
    for _ in range(halvings):
        share = (low + high) / 2
        at = share.reshape(-1, *[1] * (images.ndim - 1)).astype(x_adv.dtype)
        point = np.clip(images + at * way, lower, upper)
        logits = predict(model, point, tile)
        is_own = np.arange(logits.shape[1]) == labels[:, None]
        others = np.where(is_own, -np.inf, logits).max(axis=1)
        won = ~(logits[is_own] > others) | ~np.isfinite(logits).all(axis=1)
        low, high = np.where(won, low, share), np.where(won, share, high)
        best[won] = point[won]
    return best
