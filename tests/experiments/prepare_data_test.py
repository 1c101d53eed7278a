import gzip
import pathlib
import struct
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]


def _write_mnist(folder: pathlib.Path):
    """20 + 10 images, white in their left half; the labels count up."""
    for prefix, n in (("train", 20), ("t10k", 10)):
        images = n * 28 * (14 * b"\xff" + 14 * b"\x00")
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">IIII", 2051, n, 28, 28) + images)
        )
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">II", 2049, n) + bytes(k % 10 for k in range(n)))
        )


def _run(*flags):
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare_data", *map(str, flags)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_prepares_once_and_prints_the_splits(tmp_path):
    _write_mnist(tmp_path)
    data = tmp_path / "data"
    flags = ["--dataset=mnist", f"--manual_dir={tmp_path}", f"--data_dir={data}"]
    refused = _run(*flags)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has sha256" in refused.stderr and "Traceback" not in refused.stderr
    assert not data.exists()

    first = _run(*flags, "--no_verify")
    assert first.returncode == 0, first.stderr
    lines = [line.split() for line in first.stdout.splitlines()]
    assert lines[0][:2] == ["Prepared", "mnist"]
    assert [line[:2] for line in lines[2:]] == [
        ["train", "19"],
        ["validation", "1"],
        ["test", "10"],
    ]
    assert all(line[2:] == ["0.50000", "0.50000"] for line in lines[2:])

    second = _run(*flags, "--noverify")
    assert second.returncode == 0
    assert second.stdout.startswith("Nothing to do: ")
    assert second.stdout.splitlines()[1:] == first.stdout.splitlines()[1:]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset=minst", "--manual_dir=."], "mnist|fashion_mnist|cifar10"),
        (["--dataset=mnist"], "manual_dir"),
        (["--dataset=mnist", "--manual_dir=nowhere"], "is missing; fetch it from"),
    ],
)
def test_bad_input_is_one_sentence(flags, words):
    run = _run(*flags)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ") and words in run.stderr
    assert run.stderr.count("\n") == 1
