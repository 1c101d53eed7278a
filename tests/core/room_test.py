"""Programs are dropped before there are too many for a process, and come again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.core import closures, compilation, room
from robust_jax.core.compiling import compiled
from robust_jax.core.memo import memoised

X = jnp.asarray([0.5, -1.0, 2.0])


@memoised
def program():
    """As the engine keeps its programs: compiled ahead of time."""
    return compiled(lambda x: 2 * x + 1).lower(X).compile()


@pytest.fixture
def crowded(monkeypatch, tmp_path):
    """A process with more maps of memory than may stay."""
    maps = tmp_path / "maps"
    maps.write_bytes(b"a map\n" * 50_000)
    monkeypatch.setattr(room, "_MAPS", maps)
    return maps


def test_a_new_model_makes_room_and_what_was_dropped_comes_again(crowded):
    before = program()
    closures.as_of_now(lambda x: x * 1.0625 - 3, X)
    after = program()
    assert after is not before
    np.testing.assert_array_equal(after(X), before(X))


def test_a_known_model_and_a_process_with_room_keep_their_programs(crowded):
    model = lambda x: x * 1.1875 - 3  # noqa: E731
    closures.as_of_now(model, X)
    before = program()
    closures.as_of_now(model, X)
    crowded.write_bytes(b"a map\n" * 30_000)
    closures.as_of_now(lambda x: x * 1.3125 - 3, X)
    crowded.unlink()  # As on systems without it.
    closures.as_of_now(lambda x: x * 1.4375 - 3, X)
    assert program() is before


def test_functions_of_jit_are_compiled_again():
    run = jax.jit(lambda x: x - 0.6875)
    run(X)
    room.leave_room(0)
    with compilation.recorded() as made:
        run(X)
    assert made.so_far.lowered == 1
