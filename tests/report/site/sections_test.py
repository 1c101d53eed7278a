from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from robust_jax.report.site import sections
from tests import made_runs


def plain(**changes):
    return records.plain(made_runs.evaluation(**changes))


def test_the_funnel_counts_what_each_stage_left_and_broke():
    found = sections.funnel(plain(left=(90, 60, 50)))
    assert [line[:3] for line in found.lines] == [
        ("without attack", "90", "–"),
        ("apgd-ce", "60", "30"),
        ("square", "50", "10"),
    ]
    assert found.lines[2][3] == str(Proportion(50, 100))


def test_stages_that_are_judged_alone_are_no_funnel():
    assert sections.funnel_rows(plain(left=(90, 50, 60))) == []
    alone = plain(left=(90, 60, 50), retire=False)
    assert sections.funnel_rows(alone) == []
    found = sections.funnel(alone)
    assert found.title == "Accuracy under each attack" and len(found.lines) == 4


def test_the_ledger_has_sums_and_the_audit():
    found = sections.ledger(plain())
    lines = {line[0]: line[1:] for line in found.lines}
    assert lines["all stages"] == ("1,200", "1,200", "1,400", "1,400")
    assert lines["audit"] == ("–", "–", "320", "160")
    assert sections.ledger({"ledger": []}) is None


def test_checks_are_passed_flagged_or_not_run():
    flag = made_runs.finding(2, "flag", 1.25, points=0)
    made = made_runs.audit(
        made_runs.finding(1), flag, made_runs.finding(3, "skipped", "NaN", remedy="")
    )
    lines = sections.checks(plain(audit=made))
    assert [line.verdict for line in lines] == ["passed", "flagged", "not run"]
    assert [line.level for line in lines] == ["good", "bad", "none"]
    assert [line.value for line in lines] == ["0.5", "1.25", "–"]
    assert lines[1].says == "says 2." and lines[1].remedy == "remedy 2."
    assert [line.points for line in lines] == ["16", "–", "16"]
    assert sections.checks(plain(audit=None)) == []


def test_what_is_the_same_in_all_rows_stands_in_the_caption():
    rows = [{"net": "a", "n": 5, "loss": 1.0}, {"net": "a", "n": 5, "loss": 2.0}]
    found = sections.of_rows("T", rows)
    assert found.caption == "net: a" and found.titles == ("n", "loss")
    assert sections.of_rows("T", rows[:1]).titles == ("net", "n", "loss")


def test_tables_of_other_forms_are_left_out():
    kept = {"good": [{"a": 1}], "bad": [1], "worse": 3}
    record = made_runs.record(series={"tables": kept})
    assert sections.tables_of(record) == [("good", [{"a": 1}])]
    assert sections.tables_of(made_runs.record(series={"tables": 3})) == []
