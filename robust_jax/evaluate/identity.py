"""What an evaluation is of, as plain values: the header of its journal."""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from robust_jax.core import factories
from robust_jax.core.types import LogitsFn
from robust_jax.evaluate.engine import Layout, Work
from robust_jax.evaluate.engine.programs import text
from robust_jax.evaluate.stages import Plan


def describe(threat: Any) -> str:
    """The threat in words: norm and radius."""
    radii = np.unique(np.asarray(threat.eps, np.float64))
    if len(radii) == 1:
        return f"{threat.name} eps={radii[0]:.4g}"
    return f"{threat.name} eps={radii[0]:.4g} to {radii[-1]:.4g}"


def identity(
    plan: Plan,
    works: Sequence[Work],
    logits_fn: LogitsFn,
    threat: Any,
    layout: Layout,
    *,
    seed: int,
    retire: bool,
) -> dict[str, Any]:
    """All that finished work items depend on.

    Attacks and net are known by the programs that they are traced to and by their
    numbers, so that another step size or objective is another evaluation; weights by
    the clean logits.

    Args:
        plan: the stages.
        works: of each stage, for one example or more.
        logits_fn: the model on one example.
        threat: with its radii and box.
        layout: of which the tile counts.
        seed: of all draws.
        retire: see `robustness`.
    """
    examples = works[0].examples
    texts = [
        text(factories.as_product(stage.attack), logits_fn, work.order([None]))
        for stage, work in zip(plan, works, strict=True)
    ]
    return {
        "plan": [
            [stage.name, stage.attack.steps, stage.restarts, work.targets]
            for stage, work in zip(plan, works, strict=True)
        ],
        "threat": describe(threat),
        "box": _digest(*(np.float32(bound) for bound in threat[1:])),
        "radii": _digest(np.float32(threat.eps)),
        "seed": seed,
        "tile": layout.tile,
        "retire": retire,
        "examples": _digest(examples.images, examples.labels, examples.ids),
        "clean logits of the model": _digest(examples.logits),
        "jax": jax.__version__,
        "programs of the attacks": [_digest(one.encode()) for one in texts],
    }


def _digest(*parts: Any) -> str:
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        is_text = isinstance(part, bytes)
        total.update(part if is_text else np.ascontiguousarray(part).tobytes())
    return total.hexdigest()
