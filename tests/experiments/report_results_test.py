"""A page of results from records."""

from experiments import report_results
from robust_jax.core import records
from robust_jax.core.metrics import Proportion
from tests.experiments.command_line import run_all


def _record(tmp_path, name, **changes):
    record = {
        "schema": records.SCHEMA,
        "experiment": name,
        "title": name,
        "summary": "",
        "command": f"python -m experiments.{name}",
        "flags": {},
        "environment": {
            "date": "2026-01-02T03:04:05+00:00",
            "device_kind": "cpu",
            "cpu_model": "A processor",
            "jax": "0.10.2",
            "git_commit": "0123456789",
        },
        "rows": [
            {"net": "plain | a", "accuracy": Proportion(1, 2), "seconds": 0.125},
            {"net": "robust", "accuracy": Proportion(2, 2), "all": [1, 2], "n": None},
        ],
        "series": {},
        "notes": ["One\nnote."],
        "figures": [],
        "seconds": 1234.4,
    }
    (tmp_path / name).mkdir()
    records.write_json(tmp_path / name / "record.json", {**record, **changes})
    return tmp_path / name


SECTION = """
## `python -m experiments.attack`

2026-01-02, cpu (A processor), JAX 0.10.2, commit 0123456; 1,234 s.

| net | accuracy | seconds | n |
| --- | --- | --- | --- |
| plain \\| a | 50.0 % [9.5, 90.5] | 0.125 | \N{EN DASH} |
| robust | 100.0 % [34.2, 100.0] | \N{EN DASH} | \N{EN DASH} |

* One note.
"""


def test_a_record_becomes_a_section_and_what_stands_above_is_kept(tmp_path):
    folder = _record(tmp_path, "attack")
    record = records.read_json(folder / "record.json")
    above = "# Results\n\n| a |\n\n"
    once = report_results.page(above, [record])
    assert once == above + report_results.MARK + SECTION
    assert report_results.page(once, [record]) == once
    twice = report_results.page(once, [record, {**record, "notes": []}])
    assert twice == once + SECTION.removesuffix("\n* One note.\n")


def test_the_command_renews_a_page(tmp_path):
    _record(tmp_path, "attack"), _record(tmp_path, "train", notes=[])
    call = ["report_results", "--records=attack,train", "--markdown=page.md"]
    none, done = run_all([call[:1], call], tmp_path)
    assert none.code == 2 and "records=None; expected a folder" in none.err
    assert done.code == 0, done.err
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("# What was measured\n") and SECTION in page
    assert page.index("experiments.attack`") < page.index("experiments.train`")
