"""What `make quick` chooses, on a small tree and on this one."""

import pathlib

import pytest

from tools import quick

ATTACKS = {
    "__init__.py": "from robust_jax.attacks.fast import fast, slow\n",
    "fast.py": "from robust_jax.attacks import steps\ndef fast(): ...\ndef of(): ...\n",
    "room/slow.py": "def slow(): ...\n",
    "steps.py": "def ascent(): ...\n",
}
TESTS = {
    "attacks/fast_test.py": "",
    "attacks/others_test.py": "from robust_jax import attacks\nattacks.slow()\n",
    "attacks/helped_test.py": "from tests.attacks import helper\n",
    "attacks/helper.py": "",
    "attacks/contract_test.py": "attacks.fast, attacks.slow\n",
    "experiments/smoke_test.py": 'run("train")\n',
    "core/drive_test.py": "",
    "pages_test.py": "",
}


@pytest.fixture
def tree(tmp_path):
    for folder, files in (("robust_jax/attacks", ATTACKS), ("tests", TESTS)):
        for name, source in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "files"),
    [
        ("robust_jax/attacks/fast.py", {"tests/attacks/fast_test.py"}),
        ("robust_jax/attacks/room/slow.py", {"tests/attacks/others_test.py"}),
        ("robust_jax/attacks/steps.py", {"tests/attacks"}),  # Nobody names it.
        ("robust_jax/core/drive.py", {"tests/core/drive_test.py"}),
        ("experiments/train.py", {"tests/experiments/smoke_test.py"}),
        ("tests/attacks/helper.py", {"tests/attacks/helped_test.py"}),
        ("tests/core/drive_test.py", {"tests/core/drive_test.py"}),
        ("tests/core/gone_test.py", set()),
        ("CHANGELOG.md", set()),
        ("README.md", {"tests/pages_test.py"}),
        ("docs/tutorials/attack.md", {"tests/pages_test.py"}),
    ],
)
def test_a_module_has_its_mirror_and_its_users(tree, changed, files):
    assert quick.chosen(tree, [changed]) == files


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ("robust_jax/attacks/room/slow.py", {"slow"}),
        ("robust_jax/attacks/steps.py", {"fast"}),
        ("robust_jax/core/drive.py", set()),
    ],
)
def test_an_attack_has_its_part_of_the_contract(tree, changed, names):
    assert quick.attacks_of(tree, [changed]) == names


def test_this_tree():
    root = pathlib.Path(quick.ROOT)
    assert quick.attacks_of(root, ["robust_jax/attacks/nearest/fab.py"]) == {"fab"}
    found = quick.chosen(root, ["robust_jax/attacks/nearest/fab.py"])
    assert "tests/attacks/fab_test.py" in found and len(found) < 5
