"""Tables of several runs: their numbers are the records', to the last bit."""

import csv
import io
import math
import statistics

import pytest

from robust_jax import report
from robust_jax.core import records
from robust_jax.core.metrics import Median, Proportion

EVIL = r"a|b_$x^2 [c] & 5 % <d>"


def run(seed=0, kept=200, model=EVIL, plan="standard", **row):
    common = {"model": model, "attack": "worst case", "n": 500, "eps": 8 / 255}
    clean = {**common, "attack": "none", "accuracy": Proportion(490, 500)}
    rows = [
        {**clean, "forwards": 500, "seconds": None},
        {**common, "accuracy": Proportion(kept, 500), "forwards": 5_000 + seed,
         "seconds": 1 / 3 + seed, **row},
    ]  # fmt: skip
    return records.Record(
        schema=2, experiment="evaluate", title="t", summary="s", command="c",
        flags={"seed": seed, "plan": plan, "out": f"out/{seed}"}, environment={},
        rows=rows, series={}, notes=[], figures=[], seconds=1.0,
    )  # fmt: skip


def read_csv(made):
    return list(csv.DictReader(io.StringIO(made.csv())))


def test_of_one_run_the_numbers_are_the_records(tmp_path):
    (tmp_path / "run").mkdir()
    records.write_json(tmp_path / "run" / "record.json", run())
    kept = report.read(tmp_path / "run")["rows"][1]
    for given in (run(), tmp_path / "run", [str(tmp_path / "run" / "record.json")]):
        made = report.results_table(given)
        none, row = read_csv(made)
        accuracy = kept["accuracy"]
        low, high = accuracy["interval"]
        assert float(row["accuracy"]) == accuracy["value"] == 0.4
        assert (float(row["accuracy_low"]), float(row["accuracy_high"])) == (low, high)
        assert float(row["seconds"]) == kept["seconds"] == 1 / 3
        assert row["forwards"] == "5000" and row["eps"] == str(8 / 255)
        assert (row["model"], row["runs"], none["seconds"]) == (EVIL, "1", "")
        assert "accuracy_std" not in row
        assert str(Proportion(200, 500)) in made.cells()[1][1]
        assert str(Proportion(200, 500)) in str(made)


def test_rows_that_differ_in_the_seed_alone_are_one():
    made = report.results_table([run(0, 200), run(1, 230), run(2, 215)])
    none, row = made.flat()
    values = [200 / 500, 230 / 500, 215 / 500]
    assert row["accuracy"] == statistics.mean(values)
    assert row["accuracy_std"] == statistics.stdev(values) == pytest.approx(0.03)
    assert row["accuracy_low"] == Proportion(200, 500).interval[0]
    assert row["accuracy_high"] == Proportion(230, 500).interval[1]
    assert (row["forwards"], row["forwards_std"], row["runs"]) == (5001, 1, 3)
    assert none["accuracy_std"] == 0 and none["seconds"] is None
    assert "43.0 % ± 3.0 [35.8, 50.4]" in made.cells()[1][1]
    assert "standard deviation over 3 runs" in made.note
    error = report.results_table(
        [run(0, 200), run(1, 230), run(2, 215)], spread="standard error"
    )
    assert error.flat()[1]["accuracy_sem"] == row["accuracy_std"] / math.sqrt(3)
    assert "43.0 % ± 1.7 [35.8, 50.4]" in error.cells()[1][1]
    assert "standard error over 3 runs" in error.note


def test_other_flags_tell_rows_apart_and_become_columns():
    made = report.results_table([run(0), run(1), run(0, 100, plan="swift")])
    assert made.keys == ("plan", "model", "attack", "n", "eps")
    found = {(g.key["plan"], g.key["attack"]): len(g.rows) for g in made.groups}
    assert found == {
        ("standard", "none"): 2, ("standard", "worst case"): 2,
        ("swift", "none"): 1, ("swift", "worst case"): 1,
    }  # fmt: skip
    titles, lines = made.cells()
    assert [line[titles.index("runs")] for line in lines] == ["2", "2", "1", "1"]


def test_by_where_and_columns_choose():
    nets = [run(0, 200, "net 0"), run(0, 210, "net 1")]
    where = {"attack": ["worst case"]}
    made = report.results_table(nets, ["accuracy"], by=["attack"], where=where)
    (row,) = made.flat()
    assert row == {
        "attack": "worst case", "runs": 2, "accuracy": pytest.approx(0.41),
        "accuracy_std": pytest.approx(0.01414, rel=1e-3),
        "accuracy_low": Proportion(200, 500).interval[0],
        "accuracy_high": Proportion(210, 500).interval[1],
    }  # fmt: skip


def test_medians_missing_values_and_numbers_that_are_not_finite():
    median = Median(0.125, 0.1, math.inf)
    runs = [run(0, median=median, loss=math.nan), run(1), run(2, median=median)]
    row = report.results_table(runs).flat()[1]
    assert (row["median"], row["median_low"], row["median_high"]) == (
        0.125,
        0.1,
        math.inf,
    )
    assert math.isnan(row["loss"])
    titles, lines = report.results_table(runs).cells()
    assert lines[1][titles.index("median")] == "0.125 ± 0 [0.1, inf] (of 2)"
    assert lines[1][titles.index("loss")] == "NaN (of 1)"


def test_markdown_and_latex_show_names_as_they_stand():
    made = report.results_table(run(), ["accuracy"])
    head, rule, _, row, _, note = made.markdown().splitlines()
    assert head == "| model | attack | n | eps | accuracy |"
    assert rule == "| --- | --- | --- | --- | ---: |"
    shown = r"| a\|b\_\$x^2 \[c\] \& 5 % \<d\> | worst case | 500 | 0.03137 |"
    assert row == rf"{shown} 40.0 % \[35.8, 44.4\] |"
    assert note == "One run each; brackets hold 95 % intervals over examples."
    text = made.latex("A caption", "tab:a")
    escaped = (
        r"a\textbar{}b\_\$x\textasciicircum{}2 [c] \& 5 \% \textless{}d\textgreater{}"
    )
    wanted = rf"{escaped} & worst case & 500 & 0.03137 & 40.0 \% [35.8, 44.4] \\"
    assert wanted in text.splitlines()
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{llllr}"):
        assert text.count(rule) == 1
    assert text.startswith(
        "\\begin{table}\n\\centering\n\\caption{A caption}\n\\label{"
    )
    bracket = report.results_table(run(model="[2ex]"), ["accuracy"]).latex()
    assert "\n{}[2ex] & none" in bracket and "caption" not in bracket


def test_a_frame_holds_the_same_numbers():
    made = report.results_table([run(0), run(1)])
    frame = made.frame()
    assert list(frame.columns) == list(made.flat()[0])
    assert frame["accuracy"].tolist() == [row["accuracy"] for row in made.flat()]


def test_a_notebook_shows_it():
    page = report.results_table(run())._repr_html_()
    assert "&lt;d&gt;" in page and "<d>" not in page and "40.0 % [35.8, 44.4]" in page


@pytest.mark.parametrize(
    ("runs", "options", "words"),
    [
        ([], {}, "runs=[]; expected a record, the path of a record.json"),
        ([run(), run()], {}, "2 of them have seed 0 and equal flags"),
        (run(), {"by": ["eps"]}, "by=['eps']; two rows of a run have the same"),
        (run(), {"by": ["modl"]}, "unknown column of by 'modl'; did you mean 'model'"),
        (run(), {"columns": ["accurac"]}, "did you mean 'accuracy'"),
        (run(), {"where": {"attack": "x"}}, "leaves no row"),
        (run(), {"where": {"atack": "x"}}, "did you mean 'attack'"),
        (run(), {"spread": "std"}, "unknown spread 'std'"),
        ("nowhere", {}, "path=nowhere; expected a JSON file"),
        ({"schema": 2}, {}, "runs[0]: has no key 'experiment'"),
    ],
)
def test_bad_arguments_get_one_sentence(runs, options, words):
    with pytest.raises(ValueError) as error:
        report.results_table(runs, **options)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_run_is_a_type_error():
    with pytest.raises(TypeError, match=r"runs\[1\]=3; expected a record"):
        report.results_table([run(), 3])
