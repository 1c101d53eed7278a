"""Layer 5: judging robustness. Host code that runs attacks on tiles and audits them."""

from robust_jax.evaluate.audit import Audit, audit, predict
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
    "Audit",
    "Curve",
    "Plan",
    "Report",
    "Stage",
    "StageResult",
    "audit",
    "basic",
    "curve",
    "each_wrong_class",
    "likeliest_targets",
    "predict",
    "robustness",
    "untargeted",
    "work_items",
]
