"""The numbers of random streams: distinct for each key, and written in one place."""

import ast
import pathlib

import jax
import pytest

from robust_jax.core import streams

ROOT = pathlib.Path(streams.__file__).parents[1]
FAMILIES = (streams.OfItem, streams.OfSteps, streams.OfTraining, streams.OfPlan)
COUNTED = 2**31 - 1000  # No count of steps, examples or stages reaches it.


def words(key):
    return tuple(jax.random.key_data(key).tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_streams_of_a_key_are_one(family):
    """Nor one of them a child that is counted; aliases of a number would be missed."""
    names = family.__members__
    key = jax.random.key(0)
    children = {words(jax.random.fold_in(key, number)) for number in names.values()}
    assert len(children) == len(names) > 1
    assert all(COUNTED < number < 2**32 for number in names.values())


def numbers_of_streams(source):
    """Integers as large as a stream's that an expression of the source gives."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.BinOp | ast.Constant):
            continue
        if any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node)):
            continue
        try:
            value = eval(compile(ast.Expression(node), "", "eval"), {})
        except Exception:
            continue
        if isinstance(value, int) and COUNTED < value < 2**31 + 1000:
            yield value


def test_a_number_of_a_stream_is_found_however_it_is_written():
    for text in ("2**31 - 1", "2147483647", "(1 << 31) + 2", "0x7fffffff"):
        assert list(numbers_of_streams(f"fold_in(key, {text})")), text
    assert not list(numbers_of_streams("fold_in(key, 3); 2**30; 2**32; n**31"))


def test_no_number_of_a_stream_is_written_elsewhere():
    limits = {"core/checks.py", "attacks/queries/_square_linf.py"}  # Of counts.
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if any(numbers_of_streams(path.read_text()))
    }
    assert found == {"core/streams.py", *limits}
