"""Which attack breaks how much of a net, and at what cost? All attacks of one norm.

    python -m experiments.comparisons.compare_attacks \
        --checkpoint=out/train/model.safetensors \
        --norm=linf --eps=0.15 --count=1000

Every attack of the catalog with that norm attacks the same images by its default
budget; those that see scores or labels alone take the first `--few` of them. No attack
profits from another. Forwards and backwards are per image that the net gets right, and
an attack stops at an image's first success. The last rows ask whether AutoAttack's
parts together (APGD-T, FAB-T, Square) are as strong as each single attack.
"""

from typing import Any

import numpy as np
from absl import flags

from robust_jax import attacks, evaluate, report
from robust_jax.attacks import Entry
from robust_jax.commands.shared import (
    adversary,
    common,
    one_attack,
    recording,
    subjects,
)
from robust_jax.core import checks
from robust_jax.core.metrics import Proportion

_COUNT = flags.DEFINE_integer("count", None, "The first so many test images.")
_FEW = flags.DEFINE_integer("few", 500, "Of these, for attacks that see no gradients.")
_ATTACKS = flags.DEFINE_list("attacks", None, "Names; default: all of the norm.")

_PARTS = {  # of AutoAttack, by norm
    "linf": ("apgd_t", "fab_t", "square"),
    "l2": ("apgd_t", "fab_t", "square"),
    "l1": ("apgd_l1_t", "fab_t", "square"),
}
_COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("n", "n"),
    report.Column("accuracy", "robust accuracy [95 %]"),
    report.Column("forwards", "forwards", report.fixed(1)),
    report.Column("backwards", "backwards", report.fixed(1)),
    report.Column("seconds", "seconds", report.fixed(1)),
    report.Column("paper", "paper"),
)


def main(argv: list[str]) -> None:
    """Runs every attack alone, prints the table, writes record and page."""
    adversary.threat()  # Bad flags, before anything is loaded.
    entries = _entries()
    checks.positive_integer("few", _FEW.value)
    subject = subjects.given(count=_COUNT.value)
    data = subject.data
    threat = adversary.threat_on(data)
    run, few = recording.Run("compare_attacks"), min(_FEW.value, len(data))
    broken: dict[str, np.ndarray] = {}
    some = {e: len(data) if e.sees == "gradients" else few for e in entries}
    for entry in entries:
        taken = subject._replace(data=data.take(np.arange(some[entry])))
        found = one_attack.attacked(entry, entry.make(), taken, threat)
        broken[entry.name] = found.stages[0].broken
        run.rows.append(_row(entry, found))
        if not found.claims.passed:
            run.notes.append(f"{entry.name}: {found.claims}")
    if not run.notes:
        run.notes.append("Every adversarial example holds at a fresh look.")
    parts = [name for name in _PARTS.get(adversary.NORM.value, ()) if name in broken]
    if len(parts) == 3:
        together = np.any([broken[name][:few] for name in parts], axis=0)
        left = Proportion(int((~together).sum()), few)
        run.rows.append({"attack": " + ".join(parts), "n": few, "accuracy": left})
        run.notes.append(_verdict(together, broken, few))
    subject.note_in(run)
    run.show(_COLUMNS)
    run.save(
        f"Attacks on {subject.name}",
        f"{common.described(data)}, n = {len(data)}, {adversary.described()}; clean "
        f"accuracy {run.rows[0]['clean']}. Forwards and backwards are per image.",
        _COLUMNS,
    )


def _row(entry: Entry, found: evaluate.Report) -> dict[str, Any]:
    (stage,), attacked = found.stages, max(1, int(found.clean.sum()))
    return {
        "attack": entry.name,
        "n": len(found.clean),
        "accuracy": stage.accuracy,
        "clean": found.clean_accuracy,
        "forwards": stage.forwards.sum() / attacked,
        "backwards": stage.backwards.sum() / attacked,
        "seconds": stage.seconds,
        "claims_passed": found.claims.passed,
        "paper": entry.paper,
    }


def _verdict(together: np.ndarray, broken: dict[str, np.ndarray], few: int) -> str:
    """How far the strongest single attack is ahead of the parts together."""
    lead = {name: (b[:few].mean() - together.mean()) for name, b in broken.items()}
    name = max(lead, key=lambda n: lead[n])
    ahead = (
        f"{100 * lead[name]:.1f} points ahead of" if lead[name] > 0 else "not ahead of"
    )
    return (
        f"On the same {len(together)} images the strongest single attack, {name}, is "
        f"{ahead} the parts together."
    )


def _entries() -> tuple[Entry, ...]:
    norm = adversary.NORM.value
    of_norm = {e.name: e for e in attacks.list() if norm in e.norms}
    for name in _ATTACKS.value or ():
        checks.known_name(f"{norm} attack", name, of_norm)
    return tuple(of_norm[name] for name in _ATTACKS.value or of_norm)


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    flags.adopt_module_key_flags(subjects)
    flags.adopt_module_key_flags(adversary)
    common.run_main(main)
