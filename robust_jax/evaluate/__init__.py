"""Layer 5: judging robustness. Host code that runs attacks on tiles and audits them."""

from robust_jax.evaluate.claims import Claims, confirm, predict
from robust_jax.evaluate.curve import Curve, curve
from robust_jax.evaluate.report import Report, StageResult
from robust_jax.evaluate.robustness import robustness
from robust_jax.evaluate.stages import (
    Plan,
    Stage,
    basic,
    each_wrong_class,
    likeliest_targets,
    untargeted,
    work_items,
)

__all__ = [
    "Claims",
    "Curve",
    "Plan",
    "Report",
    "Stage",
    "StageResult",
    "basic",
    "confirm",
    "curve",
    "each_wrong_class",
    "likeliest_targets",
    "predict",
    "robustness",
    "untargeted",
    "work_items",
]
