"""`--help`: groups, values, defaults, units, and the program's own name."""

import types

import pytest
from absl import flags

from robust_jax.commands.shared import helping

_ABOUT = "Which?\n\n    robust-jax list-things --many=3\n\nAll of them.\n"


@pytest.fixture
def module():
    """A command with flags of each kind, which no other test sees."""
    made = types.ModuleType(
        "robust_jax.commands.list_things",
        "Which?\n\n    robust-jax list-things --many=3",
    )
    before = set(flags.FLAGS)
    given = {"module_name": made.__name__}
    holder = flags.FLAGS
    flags.DEFINE_integer("many", 5, "Things, at most.", **given)
    flags.DEFINE_float("size", None, "In pixel units; default: all.", **given)
    flags.DEFINE_bool("quietly", False, "Nothing is said.", **given)
    flags.DEFINE_enum("kind", "a", ["a", "b"], "Of thing.", **given)
    flags.DEFINE_multi_string("put", [], "May be given many times.", **given)
    flags.DEFINE_integer("zero", 0, "From there on.", **given)
    yield made
    for name in set(flags.FLAGS) - before:
        delattr(holder, name)


def test_each_flag_has_its_value_and_default(module):
    said = helping.text(module, "robust-jax list-things", width=80).splitlines()
    assert said[:3] == ["Which?", "", "    robust-jax list-things --many=3"]
    assert "  --many=N                Things, at most. [5]" in said
    assert "  --size=X                In pixel units; default: all." in said
    assert "  --[no]quietly           Nothing is said." in said
    assert "  --kind=a|b              Of thing. [a]" in said
    assert "  --put=TEXT              May be given many times." in said
    assert "  --zero=N                From there on. [0]" in said
    assert "Exit codes: 0 done;" in said[-2] or "Exit codes: 0 done;" in said[-3]


def test_the_examples_are_of_the_program_that_was_called(module):
    said = helping.text(module, "python -m experiments.list_things", width=80)
    assert "    python -m experiments.list_things --many=3" in said
    assert "robust-jax list-things" not in said


@pytest.mark.parametrize("width", [40, 60, 100, 400])
def test_lines_fit(module, width):
    longest = max(map(len, helping.text(module, "p", width).splitlines()))
    assert longest <= min(max(width, 60), 100)
