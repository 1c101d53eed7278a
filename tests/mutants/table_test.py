"""The table of mutants fits the tree, and the script tells killed from alive."""

import collections
import json
import textwrap

import pytest

from tests.architecture_test import LAYERS
from tests.mutants import run
from tests.mutants.table import KINDS, ROOT, mutated, read

MUTANTS = read()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_old_text_is_there_once_and_the_new_one_is_python(mutant):
    compile(mutated(mutant), mutant.file, "exec")
    paths = [part for part in mutant.tests if part.startswith("tests/")]
    assert paths and all((ROOT / path.partition("::")[0]).is_file() for path in paths)


def test_every_package_and_every_kind_of_mistake_has_its_mutants():
    packages = collections.Counter(mutant.package for mutant in MUTANTS)
    assert (
        set(packages) == {*LAYERS, "experiments", "docs"}
        and min(packages.values()) >= 3
    )
    assert {mutant.kind for mutant in MUTANTS} == KINDS
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names)) >= 60


SOURCES = {  # A checkout of one module, with a test of one of its two functions.
    "robust_jax/__init__.py": "",
    "robust_jax/core/sums.py": """
        def add(a, b):
            return a + b


        def half(a):
            return a / 2
    """,
    "tests/sums_test.py": """
        from robust_jax.core.sums import add


        def test_add():
            assert add(2, 3) == 5
    """,
    "tests/mutants/table/core.toml": """
        [add]
        file = "robust_jax/core/sums.py"
        old = "a + b"
        new = "a - b"
        kind = "sign"
        tests = ["tests/sums_test.py"]

        [half]
        file = "robust_jax/core/sums.py"
        old = "a / 2"
        new = "a / 3"
        kind = "off-by-one"
        tests = ["tests/sums_test.py"]

        [same]
        file = "robust_jax/core/sums.py"
        old = "def half(a):"
        new = "def half(a, b=0):"
        kind = "guard"
        tests = ["tests/sums_test.py"]
        equivalent = "Nobody passes it."

        [late]
        file = "robust_jax/core/sums.py"
        old = "return a + b"
        new = "import time; time.sleep(60)"
        kind = "guard"
        tests = ["tests/sums_test.py"]

        [broken]
        file = "robust_jax/core/sums.py"
        old = "def add"
        new = "def minus"
        kind = "index"
        tests = ["tests/sums_test.py"]
    """,
}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "checkout"
    for name, text in SOURCES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text).lstrip())
    return root


def test_what_became_of_each_mutant_is_told(tree, tmp_path, capsys):
    before, path = (tree / "robust_jax/core/sums.py").read_text(), tmp_path / "found"
    arguments = [f"--tree={tree}", f"--json={path}", "--only=add,half,same,broken"]
    assert run.main(arguments) == 1
    rows = {row["mutant"]: row for row in json.loads(path.read_text())}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    wanted = {"add": "killed", "half": "lives", "same": "lives", "broken": "broken"}
    assert verdicts == wanted
    assert rows["add"]["noticed_by"] == "tests/sums_test.py::test_add"
    assert "2 of 4 as expected" in capsys.readouterr().out
    assert (tree / "robust_jax/core/sums.py").read_text() == before


def test_a_mutant_that_is_late_is_no_success(tree, capsys):
    assert run.main([f"--tree={tree}", "--only=late", "--limit=0.2"]) == 1
    assert "late (!)" in capsys.readouterr().out


def test_an_old_text_that_is_gone_is_named(tree):
    table = tree / "tests/mutants/table/core.toml"
    table.write_text(table.read_text().replace("a + b", "b + a"))
    with pytest.raises(ValueError, match="add: 'b \\+ a' occurs 0 times in robust_jax"):
        run.main([f"--tree={tree}", "--only=add"])
    with pytest.raises(SystemExit):
        run.main([f"--tree={tree}", "--only=unheard_of"])
