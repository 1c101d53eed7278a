"""One attack of the catalog alone, on a model: what experiments share."""

from robust_jax import evaluate
from robust_jax.attacks import Entry
from robust_jax.commands.shared import common, subjects
from robust_jax.core.types import Attack, Threat
from robust_jax.evaluate import stages


def attacked(
    entry: Entry, attack: Attack, subject: subjects.Subject, threat: Threat
) -> evaluate.Report:
    """The report of a plan of one stage, with a progress bar and without the audit.

    Args:
        entry: says towards how many targets.
        attack: made of the entry.
    """
    data = subject.data
    goals: stages.Goals = evaluate.untargeted
    if entry.targets > 1:
        goals = evaluate.likeliest_targets(entry.targets)
    with common.EvaluationBar(entry.name) as bar:
        return evaluate.robustness(
            subject.model,
            data.pixels(),
            data.labels,
            threat,
            plan=(evaluate.Stage(entry.name, attack, goals),),
            ids=data.ids,
            seed=common.SEED.value,
            name=subject.name,
            audit=False,
            on_progress=bar,
        )
