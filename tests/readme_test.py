"""What the README shows runs as it is printed, and it stays short."""

import ast
import dataclasses
import pathlib
import re

import jax
import numpy as np
import pytest

import robust_jax as rj

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTING, *TASKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COUNT, TRAINED = 8, 80  # Images; the latter are of all classes.
# A shorter plan; what a text names that the README has no more fails the test.
SHORTER = {2: ('plan="swift"', 'plan="basic", audit=False')}


def lines_of(block):
    """The lines of a block that import nothing and say more than a comment."""
    starts = {
        node.lineno: isinstance(node, ast.Import | ast.ImportFrom)
        for node in ast.parse(block).body
    }
    written = [n for n, line in enumerate(block.splitlines(), 1) if line.strip()]
    return [n for n in written if not starts.get(n, False)]


def test_the_readme_is_short():
    assert len(README.encode()) <= 8_000
    assert README.count("![") == 1


def test_five_tasks_of_three_lines_import_nothing_from_core():
    assert len(TASKS) == 5
    for block in TASKS:
        assert 1 <= len(lines_of(block)) <= 3, block
        assert max(map(len, block.splitlines())) <= 88, block
    assert not re.search(r"\bcore\b", "".join([SETTING, *TASKS]))


def test_what_it_links_is_there():
    for name in re.findall(r"\]\(([^):]+)\)", README):
        assert (ROOT / name).exists(), name


@pytest.fixture(scope="module")
def setting():
    """The names that the README's first block gives, with less data and one step."""
    load, recipe = rj.datasets.load, rj.train.recipe
    first = {"train": np.arange(TRAINED), "validation": np.arange(COUNT)}
    first["test"] = first["validation"]
    less = {"epochs": 1, "attack.steps": 1, "model": "mlp", "data.batch_size": TRAINED}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rj.datasets, "load", lambda *of: load(*of).take(first[of[1]]))
        patch.setattr(rj.train, "recipe", lambda name: recipe(name, less))
        exec(SETTING, names := {})
    assert dataclasses.is_dataclass(names["trained"]) and len(names["labels"]) == COUNT
    return names


@pytest.mark.parametrize("number", range(1, 6))
def test_a_task_runs_as_printed(setting, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block, names = TASKS[number - 1], dict(setting)
    old, new = SHORTER.get(number, ("", ""))
    assert old in block
    exec(block.replace(old, new) if old else block, names)
    clean = np.argmax(names["model"](names["images"]), -1) == names["labels"]
    if number in (1, 5):
        assert np.all((names["found"].margin >= 0)[~clean])
        assert names["found"].x_adv.shape == names["images"].shape
    elif number == 2:
        report = names["report"]
        assert report.clean_accuracy.successes == clean.sum()
        assert report.robust_accuracy.successes <= clean.sum()
        assert (tmp_path / "out" / "my_net" / "record.json").exists()
    elif number == 3:
        shapes = [leaf.shape for leaf in jax.tree.leaves(names["gradient"])]
        assert shapes == [leaf.shape for leaf in jax.tree.leaves(names["weights"])]
        assert any(np.any(leaf) for leaf in jax.tree.leaves(names["gradient"]))
    else:
        assert np.array_equal(names["found"].distance == 0, ~clean)


@pytest.mark.full
def test_the_guide_runs_as_printed(setting, tmp_path, monkeypatch):
    """But for its longest attacks; its blocks go on from one another."""
    monkeypatch.chdir(tmp_path)
    guide, names = (ROOT / "docs" / "guide.md").read_text(), dict(setting)
    for old, new in {'plan="swift"': 'plan="basic"', "1_000": "100"}.items():
        assert old in guide
        guide = guide.replace(old, new)
    for block in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(block, names)
    assert names["result"].x_adv.shape == names["images"].shape
    assert [stage.name for stage in names["report"].stages] == ["grid"]
