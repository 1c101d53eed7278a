"""Layer 5: judging robustness. Host code that runs attacks on tiles and audits them."""

from robust_jax.evaluate.audit import Audit, Finding
from robust_jax.evaluate.batch import attack
from robust_jax.evaluate.claims import Claims, confirm, predict
from robust_jax.evaluate.comparison import Comparison, compare
from robust_jax.evaluate.corruption import Corrupted, corrupted_accuracy
from robust_jax.evaluate.curve import Curve, curve
from robust_jax.evaluate.distances import Distances, distances, last_radius, optimality
from robust_jax.evaluate.engine import Layout
from robust_jax.evaluate.failures import Failure
from robust_jax.evaluate.forecast import Progress
from robust_jax.evaluate.nearest_plans import NearestPlan, nearest
from robust_jax.evaluate.options import Run
from robust_jax.evaluate.plans import plus, rand, standard, strongest, swift
from robust_jax.evaluate.report import Report
from robust_jax.evaluate.results import StageResult
from robust_jax.evaluate.robustness import robustness
from robust_jax.evaluate.stages import (
    History,
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
    "Claims",
    "Comparison",
    "Corrupted",
    "Curve",
    "Distances",
    "Failure",
    "Finding",
    "History",
    "Layout",
    "NearestPlan",
    "Plan",
    "Progress",
    "Report",
    "Run",
    "Stage",
    "StageResult",
    "attack",
    "basic",
    "compare",
    "confirm",
    "corrupted_accuracy",
    "curve",
    "distances",
    "each_wrong_class",
    "last_radius",
    "likeliest_targets",
    "nearest",
    "optimality",
    "plus",
    "predict",
    "rand",
    "robustness",
    "standard",
    "strongest",
    "swift",
    "untargeted",
    "work_items",
]
