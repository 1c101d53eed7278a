"""The examples that a stage broke, each with the attack that broke it."""

import dataclasses

import numpy as np

from robust_jax.core.brief import brief, brief_html
from robust_jax.core.types import AttackResult
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.results import Verdicts


@dataclasses.dataclass(frozen=True)
class Failure:
    """An example that a stage broke.

    >>> failure = report.failures()[0]
    >>> failure.position, failure.stage, failure.x, failure.x_adv
    (0, 'fgsm', array([0.6, 0.4], dtype=float32), array([0.35, 0.65 ], dtype=float32))
    """

    position: int  # in the caller's order
    id: int
    label: int
    stage: str
    target: int  # which of the stage's goals
    restart: int
    x: np.ndarray  # [*S]
    x_adv: np.ndarray  # [*S]
    _evaluation: Evaluation

    __repr__ = brief
    _repr_html_ = brief_html

    def reproduce(self) -> AttackResult:
        """Runs the attack that broke this example again, from its key, on it alone.

        Guarantees: on the same machine and layout `x_adv` is equal to the last byte.
        """
        return self._evaluation.again(self.position)


def failure(run: Evaluation, found: Verdicts, position: int) -> Failure:
    """The example at a position, which a stage broke."""
    stage = run.plan[found.winner[position]]
    target, restart = divmod(int(found.place[position]), stage.restarts)
    return Failure(
        position=position,
        id=int(found.ids[position]),
        label=int(run.examples.labels[position]),
        stage=stage.name,
        target=target,
        restart=restart,
        x=run.model.outward(run.examples.images[position], 0),
        x_adv=found.x_adv[position],
        _evaluation=run,
    )
