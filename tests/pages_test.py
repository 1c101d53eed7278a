"""README.md and docs run as printed, on less data; see `tests.pages`."""

import ast
import json
import re

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests import from_pytorch, page_commands, page_files, pages
from tests.experiments import command_line

ROOT = pages.ROOT
SETTING = {
    '.load("digits", name)': '.load("digits", name).take(range(80))',
    'rj.train.recipe("pgd_digits")': 'rj.train.recipe("pgd_digits", {"model": "mlp", '
    '"epochs": 1, "attack.steps": 1, "data.batch_size": 80})',
}
QUICK = {'plan="swift"': 'plan="basic", audit=False'}
LESS = {'"epochs": 12}': '"epochs": 1, "data.batch_size": 256}', "200]": "20]"}
SHORTER = {
    "README.md": SETTING | QUICK,
    "docs/reports.md": {  # tests/report/site makes such sites.
        'rj.report.site(["out/linear", "out/sharper"], "out/site", '
        'baseline="out/linear")': ""
    },
    "docs/bring-your-model.md": QUICK
    | {"range(100)": f"range({page_files.COUNT})", "1_000": "5"},
}


TUTORIALS = {
    "attack": LESS | {"13)": "3)"},
    "judge": LESS | {"13)": "3)", 'plan="swift"': 'plan="basic"'},
    "audit": {k: v for k, v in LESS.items() if "200" not in k} | {"100]": "32]"},
    "train": {"15)": "2)", "[:200]": "[:20]", "0.2, 9": "0.2, 5"},
    "compose": LESS,
    "studies": {k: v for k, v in LESS.items() if "200" not in k} | {"100]": "8]"},
}


def lines_of(block):
    """The lines of a block that import nothing and say more than a comment."""
    starts = {
        node.lineno: isinstance(node, ast.Import | ast.ImportFrom)
        for node in ast.parse(block.text).body
    }
    written = [n for n, line in enumerate(block.text.splitlines(), 1) if line.strip()]
    return [n for n in written if not starts.get(n, False)]


def python(page):
    return [block for block in pages.blocks(page) if block.kind == "python"]


def test_the_readme_is_short_and_its_five_tasks_too():
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 8_000 and text.count("![") == 1
    setting, *tasks = python("README.md")
    assert len(tasks) == 5
    for block in tasks:
        assert 1 <= len(lines_of(block)) <= 3, block
        assert max(map(len, block.text.splitlines())) <= 88, block
    assert not re.search(r"\bcore\b", "".join(b.text for b in [setting, *tasks]))


def test_ten_jobs_of_at_most_ten_lines():
    page = "docs/bring-your-model.md"
    jobs = python(page)[1:]
    commands = [block for block in pages.blocks(page) if block.kind == "sh"]
    assert len(jobs) + len(commands) == 10
    for block in jobs:
        assert len([line for line in block.text.splitlines() if line.strip()]) <= 10
        assert max(map(len, block.text.splitlines())) <= 88, block
    assert all(len(block.text.splitlines()) == 1 for block in commands)


def right(names):
    return np.argmax(names["model"](names["images"]), -1) == names["labels"]


def attacked(names):
    assert np.all((names["found"].margin >= 0)[~right(names)])
    assert names["found"].x_adv.shape == names["images"].shape


def evaluated(names):
    report = names["report"]
    assert report.clean_accuracy.successes == right(names).sum()
    assert report.robust_accuracy.successes <= right(names).sum()


def differentiated(names):
    shapes = [leaf.shape for leaf in jax.tree.leaves(names["gradient"])]
    assert shapes == [leaf.shape for leaf in jax.tree.leaves(names["weights"])]
    assert any(np.any(leaf) for leaf in jax.tree.leaves(names["gradient"]))


def measured(names):
    assert np.array_equal(names["found"].distance == 0, ~right(names))


def test_the_readme_runs_as_printed():
    names, checks = {}, iter([right, attacked, evaluated, differentiated, measured])
    with pages.place("README.md") as folder:
        for _ in pages.run("README.md", names, SHORTER["README.md"]):
            next(checks, attacked)(names)
        assert (folder / "out" / "my_net" / "record.json").exists()
    assert next(checks, None) is None


def test_ten_jobs_run_as_printed():
    page, names = "docs/bring-your-model.md", {}
    with pages.place(page):
        ran = [said for _, said in pages.run(page, names, SHORTER[page])]
    assert len(ran) == 9
    assert all(f"n = {page_files.COUNT})" in said for said in ran[1:])


@pytest.mark.parametrize("name", sorted(TUTORIALS))
def test_a_tutorial_runs_as_printed(name):
    page, names = f"docs/tutorials/{name}.md", {}
    with pages.place(page):
        for _ in pages.run(page, names, TUTORIALS[name]):
            pass
    assert names["figure"].axes
    plt.close(names["figure"])


def test_no_tutorial_is_left_out():
    found = {path.stem for path in (ROOT / "docs/tutorials").glob("*.md")}
    assert found == set(TUTORIALS)


@pytest.mark.parametrize(
    "page", ["docs/index.md", "docs/devices.md", "docs/reports.md"]
)
def test_a_page_runs_as_printed(page):
    with pages.place(page):
        ran = list(pages.run(page, {}, SHORTER.get(page)))
    assert len(ran) == len(python(page))


def test_calls_that_stand_for_those_of_other_libraries(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = from_pytorch.problem(tmp_path)
    found = list(from_pytorch.ours(names, from_pytorch.SHORTER))
    assert len(found) > 15
    assert [row for row in found if not from_pytorch.agrees(*row)] == []


@pytest.mark.xdist_group("experiments")
def test_jobs_from_the_command_line_run_as_printed():
    page = "docs/bring-your-model.md"
    asked = [c.split() for c in pages.commands(page) if c.startswith("robust-jax")]
    assert len(asked) == 2
    with pages.place(page) as folder:
        for number, (_, name, *options) in enumerate(asked):
            options[options.index("--plan=swift")] = "--plan=basic"
            more = ["--noaudit", f"--out=out/{number}"]
            done = command_line.run([name, *options, *more], folder)
            assert done.code == 0, done.err
            record = json.loads((folder / f"out/{number}/record.json").read_text())
            assert record["rows"][0]["n"] == page_files.COUNT


def test_every_command_of_the_pages_is_tried_or_says_why_not():
    shown = {command for page in pages.pages() for command in pages.commands(page)}
    trials = page_commands.trials()
    assert sorted(shown - trials.keys()) == []
    assert sorted(trials.keys() - shown) == []
    for trial in trials.values():
        assert list(page_commands.unknown_parts(trial.command)) == [], trial
        assert trial.how in ("gate", "run", "here", "as", "test", "not"), trial
        assert trial.how != "test" or (ROOT / trial.of).exists(), trial


def test_every_block_of_the_pages_is_of_a_known_kind():
    known = (*pages.PYTHON, *pages.SHELL, "text", "diff", "{toctree}", "{eval-rst}")
    for page in pages.pages():
        for block in pages.blocks(page):
            assert block.kind in known, f"{page}:{block.line}: {block.kind}"


@pytest.mark.full
def test_the_guide_runs_as_printed():
    """But for its longest attacks; it goes on from the README's first block."""
    names = {}
    with pages.place("docs/guide.md"):
        next(pages.run("README.md", names, SETTING | QUICK))
        shorter = {'plan="swift"': 'plan="basic"', "1_000": "100"}
        for _ in pages.run("docs/guide.md", names, shorter):
            pass
    assert names["result"].x_adv.shape == names["images"].shape
    assert [stage.name for stage in names["report"].stages] == ["grid"]
