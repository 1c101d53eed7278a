"""Checks of an evaluation: what could make its robust accuracy too high."""

from robust_jax.evaluate.audit.checklist import CHECKS, POINTS, Audit, run_audit
from robust_jax.evaluate.audit.finding import Finding
from robust_jax.evaluate.audit.subject import Subject

__all__ = ["CHECKS", "POINTS", "Audit", "Finding", "Subject", "run_audit"]
