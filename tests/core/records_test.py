import contextlib
import json
import math
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from robust_jax.core import metrics, records

json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


@settings(max_examples=40)
@given(json_data)
def test_data_survive_the_disk(data):
    with tempfile.TemporaryDirectory() as folder:
        records.write_json(f"{folder}/a.json", data)
        assert records.read_json(f"{folder}/a.json") == data


def test_arrays_and_scalars_become_plain_json(tmp_path):
    share = metrics.Proportion(3, 4)
    data = {
        "numpy": np.float64(0.1),
        "count": np.int32(7),
        "flag": np.bool_(True),
        "array": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "jax": jnp.ones((2,), jnp.bfloat16),
        "scalar": jnp.float32(0.5),
        "pair": (1, "x"),
        "path": pathlib.PurePosixPath("a/b"),
        "share": share,
        7: None,
    }
    records.write_json(tmp_path / "a.json", data)
    assert records.read_json(tmp_path / "a.json") == {
        "numpy": 0.1,
        "count": 7,
        "flag": True,
        "array": [[0, 1, 2], [3, 4, 5]],
        "jax": [1.0, 1.0],
        "scalar": 0.5,
        "pair": [1, "x"],
        "path": "a/b",
        "share": {
            "successes": 3, "n": 4, "value": 0.75, "interval": list(share.interval),
        },
        "7": None,
    }  # fmt: skip


def test_non_finite_numbers_are_valid_json_that_float_reads(tmp_path):
    path = tmp_path / "a.json"
    records.write_json(path, [math.nan, np.array([np.inf, 1.0]), jnp.float32(-np.inf)])
    found = json.loads(path.read_text(), parse_constant=refuse_constant)
    assert found == ["NaN", ["Infinity", 1.0], "-Infinity"]
    assert math.isnan(float(found[0]))
    assert (float(found[1][0]), float(found[2])) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"rows": [{"a": 1}, {"a": object()}]}, "rows[1].a="),
        ({"x": np.array([1j])}, "x="),
        ({"flags": {1.5: 0}}, "flags has the key 1.5"),
        ({"a": np.array([["x"] * 9] * 9)}, "a=array([['x', 'x', 'x'"),
        ({1, 2}, "value="),
    ],
)
def test_other_data_are_named_and_the_old_file_stays(tmp_path, data, where):
    path = tmp_path / "a.json"
    records.write_json(path, "old")
    with pytest.raises(ValueError) as error:
        records.write_json(path, data)
    assert str(error.value).startswith(where) and "\n" not in str(error.value)
    assert records.read_json(path) == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    records.write_json(path, "old")
    with pytest.raises(UnicodeEncodeError):
        records.write_json(path, "x" * 100_000 + "\udcff")  # Known only while encoding.
    assert records.read_json(path) == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"path=.*a\.json; expected"):
        records.read_json(path)


def test_atomic_path_shows_nothing_before_the_end(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("old")
    with records.atomic_path(path) as temporary:
        assert temporary.parent == path.parent  # A rename across disks is no rename.
        np.savez(temporary, x=np.arange(3))
        assert path.read_text() == "old"
    assert np.load(path)["x"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_path_leaves_the_old_file_after_a_failure(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), records.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_path_gives_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with records.atomic_path(tmp_path / "a") as temporary:
        temporary.touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "a")}
    assert len(modes) == 1


def test_out_dir_is_made_with_parents_and_left_empty(tmp_path):
    out = records.prepare_out_dir(tmp_path / "a" / "b")
    assert out == records.prepare_out_dir(str(out))  # A second time is fine.
    assert os.listdir(out) == []


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_out_dir_that_is_a_file_is_named(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    out = f"{tmp_path}/file{below}"
    with pytest.raises(ValueError, match="found a file") as error:
        records.prepare_out_dir(out)
    assert str(error.value).startswith(f"out={out}; ")
    assert (tmp_path / "file").read_text() == "mine"


@contextlib.contextmanager
def unprivileged():
    """Permissions count, for root too."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("below", ["", "/deeper"])
def test_out_dir_without_permission_is_named(below):
    folder = tempfile.mkdtemp()  # Others may not enter tmp_path's parents.
    try:
        os.chmod(folder, 0o777)
        with unprivileged():
            records.prepare_out_dir(folder)
        os.chmod(folder, 0o555)
        with unprivileged(), pytest.raises(ValueError, match="be written") as error:
            records.prepare_out_dir(folder + below)
        assert str(error.value).startswith(f"out={folder}{below}; ")
    finally:
        shutil.rmtree(folder)


def test_environment_is_plain_and_tells_where_it_ran():
    found = records.environment()
    assert records.plain(found) == found
    assert found["jax"] == metadata.version("jax")
    assert found["backend"] == jax.default_backend()
    assert found["device_count"] == jax.device_count()
    assert found["cpu_threads"] >= 1
    assert found["date"].endswith("+00:00")


def test_environment_records_what_changes_the_numbers(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    monkeypatch.setenv("NPROC", "3")
    with jax.default_matmul_precision("highest"):
        found = records.environment()
    assert found["default_matmul_precision"] == "highest"
    assert found["variables"]["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    assert found["cpu_threads"] == 3


def test_git_state_is_of_this_checkout_only(tmp_path, monkeypatch):
    package = tmp_path / "robust_jax" / "core"
    package.mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(package / "records.py"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # As inside a hook.

    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        run = subprocess.run(
            command, env=clean, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    def state():
        found = records.environment()
        return found["git_commit"], found["git_dirty"]

    assert state() == (None, None)
    git("init")
    assert state() == (None, None)  # No commit yet.
    (package / "records.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-m", "first")
    assert state() == (git("rev-parse", "HEAD"), False)
    (package / "records.py").write_text("x = 2\n")
    assert state() == (git("rev-parse", "HEAD"), True)
    # Installed below somebody else's repository.
    inner = tmp_path / "lib" / "robust_jax" / "core"
    inner.mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(inner / "records.py"))
    assert state() == (None, None)
