"""The frame: order, errors, budget, the order of the examples, text and JSON."""

import json

import numpy as np
import pytest

from robust_jax.core import records
from robust_jax.evaluate.audit import CHECKS, Finding, run_audit, spending
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED, Measured, check
from robust_jax.evaluate.audit.subject import Bench
from tests.evaluate.audit import scenes
from tests.evaluate.audit.scenes import N


@check(1, "first", "Nothing.")
def passing(bench):
    return Measured(True, 0.25, "<= 1", "All is well.")


@check(2, "second", "Mend it.")
def flagged(bench):
    return Measured(False, np.inf, "<= 1", "It is bad.")


@check(3, "third", "")
def idle(bench):
    return "There was nothing to ask."


@check(0, "fourth", "")
def falling_over(bench):
    raise TypeError("no such thing\nand a long story")


def audited(*checks, **options):
    return run_audit(scenes.subject(), checks=checks, **options)


def test_the_checks_stand_in_the_order_of_their_numbers():
    numbers = [one.number for one in CHECKS]
    assert numbers == list(range(1, 28))
    assert all(one.remedy and one.ask.__doc__ for one in CHECKS)


def test_a_check_makes_its_finding_of_what_it_measured():
    bench = scenes.bench()
    finding = Finding(1, "first", PASS, 0.25, "<= 1", "All is well.", "Nothing.")
    assert passing(bench) == finding
    assert flagged(bench).verdict == FLAG
    skipped = idle(bench)
    assert (skipped.name, skipped.verdict, skipped.remedy) == ("third", SKIPPED, "")
    assert skipped.says == "There was nothing to ask."


def test_a_check_of_points_is_not_asked_without_any():
    asked = check(4, "fourth", "", none_right="Nobody.")(falling_over.ask)
    nobody = scenes.bench(clean=np.zeros(N, bool))
    assert (asked(nobody).verdict, asked(nobody).says) == (SKIPPED, "Nobody.")
    with pytest.raises(TypeError, match="no such thing"):
        asked(scenes.bench())


def test_only_a_flag_is_a_failure():
    assert audited(passing, idle).passed
    audit = audited(passing, flagged, idle)
    assert not audit.passed
    assert [finding.number for finding in audit.flags] == [2]


def test_a_check_that_raises_is_a_flag_and_the_others_go_on():
    failed, last = audited(falling_over, passing).findings
    assert (failed.verdict, failed.name) == (FLAG, "falling over")
    assert failed.says == "The check ended with TypeError: no such thing."
    assert last._replace(points=0) == passing(scenes.bench())


def test_a_known_check_that_raises_keeps_its_number():
    broken = scenes.subject(logits=None)
    (finding,) = run_audit(broken, checks=CHECKS[1:2]).findings
    assert (finding.number, finding.verdict) == (2, FLAG)


def looking(number):
    """A check of this number that asks the model once about each point."""

    @check(number, "looking", "")
    def looks(bench):
        bench.logits(bench.images)
        return Measured(True, float(number == 12), "", "")

    return looks


@pytest.mark.parametrize(
    ("points", "budget", "looked_at"),
    [(128, None, N), (7, None, 7), (128, 1, 16), (8, 1, 8), (128, 1e9, N)],
)
def test_points_and_budget_bound_the_subset(points, budget, looked_at):
    """The check is one of those that are asked whatever the budget."""
    audit = audited(looking(27), points=points, budget=budget)
    assert audit.points == looked_at == audit.findings[0].points


def test_what_is_open_is_asked_of_more_points_first():
    """After 16 points each the budget is enough to double the dear one once, or not."""
    both = looking(12), looking(13)
    budget = spending.price(12, 32) + 32 + 16  # What each has asked, and a double.
    audit = audited(*both, budget=budget)
    assert [finding.points for finding in audit.findings] == [32, N]
    audit = audited(*both, budget=budget - 40)
    assert [finding.points for finding in audit.findings] == [16, N]


def test_what_is_too_dear_is_left_out_and_says_so():
    (finding,) = audited(CHECKS[8], budget=100).findings
    assert (finding.number, finding.verdict, finding.points) == (9, SKIPPED, 0)
    assert "16 points may cost 10,400 forwards, and 100 are left" in finding.says
    assert "audit_again(points=...)" in finding.says


def test_no_price_is_below_what_a_check_costs():
    """On the net whose gradients are hidden, so that no point falls early."""
    hiding = scenes.subject(scenes.net(scenes.KILLED), winner=scenes.NOTHING_BROKEN)
    for one in CHECKS:
        bench = Bench(hiding, 16)
        number = one(bench).number
        spent = bench.forwards + 2 * bench.backwards
        assert spent <= spending.price(number, 16) or number == 26, (number, spent / 16)


def test_the_audit_tells_its_share_of_the_plans_cost():
    audit = audited(looking(27))
    plan = N + sum(stage.forwards.sum() + 2 * stage.backwards.sum()
                   for stage in scenes.subject().stages)  # fmt: skip
    assert audit.share == audit.forwards / plan
    assert f"{audit.share:.0%} of the plan's cost" in audit.summary()


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

    @check(1, "first", "")
    def asking(bench):
        bench.count(1)
        return passing.ask(bench)

    audit = audited(passing, asking, passing, seconds_left=lambda: next(left))
    assert [f.verdict for f in audit.findings] == [PASS, SKIPPED, SKIPPED]
    assert {f.says for f in audit.findings[1:]} == {"The time limit came first."}
    assert audit.undone == 2 and not audit.passed and not audit.flags
    assert "2 skipped, 2 of them for want of time" in str(audit)


def test_a_check_needs_as_long_as_the_longest_so_far(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    @check(1, "first", "")
    def long(bench):
        now[0] += 5.0
        return passing.ask(bench)

    audit = audited(long, passing, passing, seconds_left=lambda: 9.0 - now[0])
    assert [f.verdict for f in audit.findings] == [PASS, SKIPPED, SKIPPED]
