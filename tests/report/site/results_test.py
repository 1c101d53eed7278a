import pytest

from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.report.site import results
from tests import made_runs


def told(**changes):
    return results.trust(records.plain(made_runs.evaluation(**changes)))


def test_what_holds_says_how_many_checks_passed():
    found = told()
    assert (found.level, found.verdict) == ("good", "holds up")
    assert "1 of 2 checks passed" in found.sentence


@pytest.mark.parametrize(
    ("changes", "level", "verdict", "sentence"),
    [
        (
            {"claims": {"passed": False, "summary": "2 outside"}},
            "bad",
            "refuted",
            "2 out",
        ),
        ({"claims": {}}, "bad", "refuted", ""),
        ({"distrust": "See check 5."}, "bad", "not to be trusted", "See check 5."),
        ({"unfinished": 7}, "open", "partial", "7 attacks"),
        ({"audit": None}, "open", "not audited", "upper bound"),
    ],
)
def test_verdicts(changes, level, verdict, sentence):
    found = told(**changes)
    assert (found.level, found.verdict) == (level, verdict)
    assert sentence in found.sentence


def test_examples_that_do_not_hold_come_before_all_else():
    claims = {"passed": False, "summary": ""}
    assert told(claims=claims, distrust="x", unfinished=1).verdict == "refuted"


def test_a_wide_interval_is_no_ground_for_distrust():
    wide = made_runs.finding(23, "flag", says="Few images.")
    assert told(audit=made_runs.audit(wide)).level == "good"
    assert "Few images." in told(audit=made_runs.audit(wide)).sentence


def test_an_evaluation():
    [found] = results.results(records.plain(made_runs.evaluated()))
    assert found[:6] == (
        "net", "linf eps=0.1", "swift", 100, Proportion(90, 100), Proportion(50, 100),
    )  # fmt: skip
    assert found.trust.verdict == "holds up" and found.certified is None


def test_several_evaluations_have_a_result_each():
    both = [made_runs.evaluation(model="a"), made_runs.evaluation((9, 8, 7), 10, "b")]
    both[0]["audit"] = None
    rows = [row for each in both for row in each["rows"]]
    record = made_runs.record(rows, {"evaluations": {"a": both[0], "b": both[1]}})
    first, second = results.results(records.plain(record))
    assert (first.model, first.trust.verdict) == ("a", "not audited")
    assert (second.model, second.trust.verdict) == ("b", "holds up")
    assert second.robust == Proportion(7, 10)


def test_a_certificate_is_told():
    record = made_runs.evaluated(certified=Proportion(40, 100))
    [found] = results.results(records.plain(record))
    assert found.certified == Proportion(40, 100)


def test_one_attack_is_an_upper_bound_at_its_largest_radius():
    rows = [
        {
            "attack": "pgd",
            "norm": "l2",
            "eps": eps,
            "n": 10,
            "accuracy": Proportion(k, 10),
        }
        for eps, k in ((0.5, 3), (0.0, 9), (0.2, 6))
    ]
    [found] = results.results(records.plain(made_runs.record(rows)))
    assert (found.threat, found.plan) == ("l2 eps=0.5", "pgd")
    assert (found.clean, found.robust) == (Proportion(9, 10), Proportion(3, 10))
    assert found.trust.verdict == "one attack"


def test_a_run_without_a_claim():
    [found] = results.results(made_runs.record([{"epoch": 1, "loss": 2.0}]))
    assert found.robust is None and found.trust.verdict == "no claim"


def test_the_data_as_far_as_they_are_known():
    named = made_runs.record(flags={"images": "a/b/own.npz", "dataset": None})
    assert results.data(named) == "own.npz"
    learnt = made_runs.record(flags={}, series={"recipe": {"dataset": "mnist"}})
    assert results.data(learnt) == "mnist"
    told = made_runs.record(flags={}, series={"data": "digits"})
    assert results.data(told) == "digits"
    assert results.data(made_runs.record(flags={})) == ""


@pytest.mark.parametrize("date", [None, "yesterday", 7])
def test_a_date_that_is_none(date):
    assert results.date(made_runs.record(environment={"date": date})) == ""
    known = made_runs.record(environment={"date": "2026-11-30T12:34:56+00:00"})
    assert results.date(known) == "2026-11-30 12:34"
