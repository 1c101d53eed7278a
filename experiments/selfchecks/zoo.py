"""Does the audit flag what is overrated, and spare what is honest?

    python -m experiments.selfchecks.zoo --plans=swift --seeds=1
    python -m experiments.selfchecks.zoo --plans=swift,standard --seeds=3
    python -m experiments.selfchecks.zoo --only=distraction --nets=published.py

Fake defences (`models.fakes`, two strengths each) around a net of the digits, and
honest nets of many kinds, are judged by a plan and its audit. What a fake keeps is at
most what the report, transfer from the net without its defence and 1,000 queries of a
search by labels leave together. A fake that is rated 5 points higher than that must be
flagged, a number that is right may be; an honest net must not be.
"""

from collections.abc import Iterator
from typing import Any

from absl import flags

from experiments.selfchecks import zoo_nets, zoo_training, zoo_verdicts
from experiments.selfchecks.zoo_verdicts import COLUMNS
from robust_jax import report
from robust_jax.commands.shared import common, numbers, recording
from robust_jax.evaluate import plans
from robust_jax.models import fake_catalog

_TITLE = "Does the audit see what it should?"
_PLANS = flags.DEFINE_list("plans", ["swift"], "By which plans.")
_SEEDS = flags.DEFINE_integer("seeds", 1, "Evaluations of each.", lower_bound=1)
_COUNT = flags.DEFINE_integer("count", 128, "Test images.", lower_bound=1)
_EPS = numbers.DEFINE_number("eps", 0.1, "Radius in Linf.", lower_bound=0.0)
_ONLY = flags.DEFINE_list("only", [], "Names, or their beginnings; default all.")
_NETS = flags.DEFINE_string(
    "nets", None, "Python file that defines nets(count) -> (name, model, images, ...)."
)


def main(argv: list[str]) -> None:
    """Judges all, prints a row each, writes the record."""
    for plan in _PLANS.value:
        plans.by_name(plan, "linf")
    run = recording.Run("zoo")
    for case in _chosen():
        for plan in _PLANS.value:
            for seed in range(_SEEDS.value):
                row = zoo_verdicts.judged(case, plan, common.SEED.value + seed)
                run.rows.append(row)
                print(report.format_table([row], COLUMNS).splitlines()[-1], flush=True)
                run.write(_TITLE, f"So far: {_summary(run.rows)}", COLUMNS)
    print(_summary(run.rows))
    run.save(_TITLE, _summary(run.rows), COLUMNS)


def _chosen() -> Iterator[zoo_verdicts.Case]:
    digits = zoo_training.Digits(_COUNT.value, _EPS.value)
    cases = [lambda: _fakes(digits), lambda: _honest(digits)]
    if _NETS.value is not None:
        own = zoo_nets.of_file(_NETS.value, _COUNT.value)
        cases.append(lambda: (zoo_verdicts.Case(net, "honest") for net in own))
    wanted = tuple(_ONLY.value)
    for some in cases:
        for case in some():
            if not wanted or case.net.name.startswith(wanted):
                yield case


def _fakes(digits: zoo_training.Digits) -> Iterator[zoo_verdicts.Case]:
    for fake in fake_catalog.list_fakes():
        if fake.training == "k_winners":
            continue  # Needs a net trained behind it, which the tests' zoo has.
        base = digits.net("relu", behind="noise" if fake.training == "noise" else "")
        for strength in fake_catalog.STRENGTHS:
            given = {"images": digits.images, "labels": digits.labels}
            model = fake.make(base, strength, **given)
            net = digits.judged(f"{fake.name} {strength}", model)
            yield zoo_verdicts.Case(net, "fake", fake.takes, base)


def _honest(digits: zoo_training.Digits) -> Iterator[zoo_verdicts.Case]:
    return (zoo_verdicts.Case(net, "honest") for net in zoo_nets.honest(digits))


def _summary(rows: list[dict[str, Any]]) -> str:
    verdicts = [row["verdict"] for row in rows]
    refused, flagged = (verdicts.count(word) for word in ("refused", "flagged"))
    missed, accused = verdicts.count("MISSED"), verdicts.count("ACCUSED")
    honest = sum(row["kind"] == "honest" for row in rows)
    shares = [row["share"] for row in rows if row.get("share") is not None]
    cost = f"; the audit cost at most {max(shares):.2f} of a plan" if shares else ""
    return (
        f"Overrated fakes flagged: {flagged} of {flagged + missed}, and {refused} "
        f"refused; honest nets accused: {accused} of {honest}{cost}."
    )


if __name__ == "__main__":
    flags.adopt_module_key_flags(common)
    common.run_main(main)
