"""The frame: order, errors, budget, the order of the examples, text and JSON."""

import dataclasses
import json
import re

import numpy as np
import pytest

from robust_jax.core import records
from robust_jax.evaluate.audit import CHECKS, checklist, run_audit
from robust_jax.evaluate.audit.subject import FLAG, PASS, SKIPPED, Finding, skipped
from tests.evaluate.audit import scenes
from tests.evaluate.audit.scenes import N


def passing(bench):
    return Finding(1, "first", PASS, 0.25, "<= 1", "All is well.", "Nothing.")


def flagged(bench):
    return Finding(2, "second", FLAG, np.inf, "<= 1", "It is bad.", "Mend it.")


def idle(bench):
    return skipped(3, "third", "There was nothing to ask.")


def falling_over(bench):
    raise TypeError("no such thing\nand a long story")


def audited(*checks, **options):
    return run_audit(scenes.subject(), checks=checks, **options)


def test_the_checks_stand_in_the_order_of_their_numbers():
    numbers = [int(re.match(r"\d+", check.__doc__)[0]) for check in CHECKS]
    assert numbers == list(range(1, 28))


def test_only_a_flag_is_a_failure():
    assert audited(passing, idle).passed
    audit = audited(passing, flagged, idle)
    assert not audit.passed
    assert [finding.number for finding in audit.flags] == [2]


def test_a_check_that_raises_is_a_flag_and_the_others_go_on():
    failed, last = audited(falling_over, passing).findings
    assert (failed.verdict, failed.name) == (FLAG, "falling over")
    assert failed.says == "The check ended with TypeError: no such thing."
    assert last == passing(None)


def test_a_known_check_that_raises_keeps_its_number():
    broken = dataclasses.replace(scenes.subject(), logits=None)
    (finding,) = run_audit(broken, checks=CHECKS[1:2]).findings
    assert (finding.number, finding.verdict) == (2, FLAG)


@pytest.mark.parametrize(
    ("points", "budget", "looked_at"),
    [(128, None, N), (7, None, 7), (128, 1, 16), (8, 1, 8), (128, 1e9, N)],
)
def test_points_and_budget_bound_the_subset(points, budget, looked_at):
    assert audited(passing, points=points, budget=budget).points == looked_at


def test_a_random_model_costs_its_samples():
    each = scenes.subject(samples=10)
    once, often = (
        run_audit(s, budget=40 * checklist._PER_POINT, checks=(passing,)).points
        for s in (scenes.subject(), each)
    )
    assert (once, often) == (40, 16)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="points=0"):
        audited(passing, points=0)
    with pytest.raises(ValueError, match="budget=-1"):
        audited(passing, budget=-1)


def test_the_text_is_short_but_for_flags():
    lines = str(audited(passing, flagged, idle)).splitlines()
    assert "It is bad. Remedy: Mend it." in lines[-2]
    assert "1 checks passed, 1 flagged, 1 skipped; 60 points" in lines[-1]
    assert all(len(line) <= 88 for line in lines[:-2])
    assert len(lines) == 7 and "All is well" not in "".join(lines)


def test_the_record_keeps_every_sentence():
    audit = audited(passing, flagged, idle)
    kept = json.loads(json.dumps(records.plain(audit.to_json()), allow_nan=False))
    says = [finding["says"] for finding in kept["findings"]]
    assert says == ["All is well.", "It is bad.", "There was nothing to ask."]
    assert [f["verdict"] for f in kept["findings"]] == [PASS, FLAG, SKIPPED]
    assert kept["passed"] is False


def test_what_a_time_limit_leaves_undone_is_skipped_and_no_pass():
    """One check ends, one is interrupted when it asks, one is not begun."""
    left = iter([9.0, 9.0, -1.0, -1.0])

    def asking(bench):
        bench.count(1)
        return passing(bench)

    audit = audited(passing, asking, passing, seconds_left=lambda: next(left))
    assert [f.verdict for f in audit.findings] == [PASS, SKIPPED, SKIPPED]
    assert {f.says for f in audit.findings[1:]} == {"The time limit came first."}
    assert audit.undone == 2 and not audit.passed and not audit.flags
    assert "2 skipped, 2 of them for want of time" in str(audit)


def test_a_check_needs_as_long_as_the_longest_so_far(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def long(bench):
        now[0] += 5.0
        return passing(bench)

    audit = audited(long, passing, passing, seconds_left=lambda: 9.0 - now[0])
    assert [f.verdict for f in audit.findings] == [PASS, SKIPPED, SKIPPED]
