"""Programs are made by jit of new functions; the cache is the tests' own."""

import concurrent.futures
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import robust_jax as rj
from robust_jax.core import compilation, exports

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
ONES = np.ones(3, np.float32)


@pytest.fixture
def no_cache():
    """No persistent cache; what the session uses comes back."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    exports.keep_in(None)


def run_new(number):
    """Runs a program that is new to the process, with a function inside."""
    inner = jax.jit(lambda x: jnp.sin(x) * number)
    return jax.jit(lambda x: inner(x) + number)(ONES)


def counts(seen):
    return seen.traced, seen.lowered, seen.compiled, seen.loaded


def test_a_program_is_counted_once_with_what_it_calls(no_cache):
    with compilation.recorded() as recorder:
        run_new(0.1)
    seen = recorder.so_far
    assert counts(seen) == (1, 1, 1, 0)
    assert seen.traced_seconds > 0 and seen.lowered_seconds > 0
    assert seen.compiled_seconds > 0 and seen.loaded_seconds == 0


def test_a_program_that_is_there_counts_nothing(no_cache):
    program = jax.jit(lambda x: x * 0.2)
    program(ONES)
    with compilation.recorded() as recorder:
        program(ONES)
    assert recorder.so_far == compilation.Compilation()


def test_nested_blocks_both_count_until_they_end(no_cache):
    with compilation.recorded() as outer:
        run_new(0.3)
        with compilation.recorded() as inner:
            run_new(0.4)
        run_new(0.5)
    run_new(0.6)
    assert counts(inner.so_far) == (1, 1, 1, 0)
    assert counts(outer.so_far) == (3, 3, 3, 0)


def test_an_error_ends_the_block(no_cache):
    with pytest.raises(KeyError), compilation.recorded() as recorder:
        raise KeyError
    run_new(0.7)
    assert recorder.so_far == compilation.Compilation()


def test_all_threads_count(no_cache):
    pool = concurrent.futures.ThreadPoolExecutor(8)
    with compilation.recorded() as recorder, pool:
        list(pool.map(run_new, np.arange(24.0)))
    assert counts(recorder.so_far) == (24, 24, 24, 0)


def test_loaded_programs_are_told_from_compiled_ones(no_cache, tmp_path):
    run_new(0.8)  # The cache is set up after JAX has seen that there is none.
    rj.compile_cache(tmp_path / "new" / "programs")
    with compilation.recorded() as recorder:
        run_new(0.9)
    assert counts(recorder.so_far) == (1, 1, 1, 0)
    with compilation.recorded() as recorder:
        run_new(0.9)
        run_new(1.1)
    seen = recorder.so_far
    assert counts(seen) == (2, 2, 1, 1) and seen.loaded_seconds > 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another", "JAX's own"])
def test_what_is_no_whole_entry_of_its_name_is_compiled_anew(
    no_cache, tmp_path, damage
):
    rj.compile_cache(tmp_path)
    answer = run_new(1.3)
    (own,) = (p for p in tmp_path.iterdir() if p.is_file())
    whole = own.read_bytes()
    run_new(1.4)
    (other,) = (p for p in tmp_path.iterdir() if p.is_file() and p != own)
    at = len(whole) // 2
    wrong = {
        "cut": whole[:at],
        "flipped": whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :],
        "empty": b"",
        "another": other.read_bytes(),
        "JAX's own": whole[:-32],
    }
    own.write_bytes(wrong[damage])
    for compiled in (1, 0):  # Anew, and then found.
        with warnings.catch_warnings(), compilation.recorded() as recorder:
            warnings.simplefilter("error")
            np.testing.assert_array_equal(run_new(1.3), answer)
        assert recorder.so_far.compiled == compiled


def test_another_folder_takes_over(no_cache, tmp_path):
    for name in ("one", "two"):
        rj.compile_cache(tmp_path / name)
        run_new(1.2)
    kept = [
        [p for p in (tmp_path / n).iterdir() if p.is_file()] for n in ("one", "two")
    ]
    assert list(map(len, kept)) == [1, 1]


def test_a_folder_that_is_a_file_is_an_error(no_cache, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(ValueError, match=f"compile_cache={path}; expected a dir"):
            rj.compile_cache(path)
    assert jax.config.jax_compilation_cache_dir is None


def test_a_tilde_is_the_home_directory(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    rj.compile_cache("~/programs")
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "programs")


def test_the_line_tells_all_kinds():
    seen = compilation.Compilation(5, 4, 3, 1, 0.25, 0.5, 1.75, 0.125)
    assert str(seen) == (
        "5 programs traced (0.2 s), 4 lowered (0.5 s), 3 compiled (1.8 s), "
        "1 loaded (0.1 s)"
    )


def test_the_root_package_knows_the_function_without_loading_jax():
    code = (
        "import sys, robust_jax as rj\n"
        "print('compile_cache' in dir(rj), 'jax' in sys.modules)\n"
        "print(callable(rj.compile_cache))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False", "True"], done.stderr
