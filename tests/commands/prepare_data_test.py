"""Files as published become a data set, as the command line says."""

import gzip
import pathlib
import struct

import pytest

from tests.experiments import command_line


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


def test_prepares_once_and_prints_the_splits(tmp_path):
    _write_mnist(tmp_path)
    data = tmp_path / "data"
    command = [
        "prepare_data",
        "--dataset=mnist",
        f"--manual_dir={tmp_path}",
        f"--data_dir={data}",
    ]
    refused = command_line.run(command, tmp_path)
    assert (refused.code, refused.out) == (2, "")
    assert "has sha256" in refused.err and "Traceback" not in refused.err
    assert not data.exists()

    first = command_line.run([*command, "--no_verify"], tmp_path)
    assert first.code == 0, first.err
    lines = [line.split() for line in first.out.splitlines()]
    assert lines[0][:2] == ["Prepared", "mnist"]
    assert [line[:2] for line in lines[2:]] == [
        ["train", "19"],
        ["validation", "1"],
        ["test", "10"],
    ]
    assert all(line[2:] == ["0.50000", "0.50000"] for line in lines[2:])

    second = command_line.run([*command, "--noverify"], tmp_path)
    assert second.code == 0
    assert second.out.startswith("Nothing to do: ")
    assert second.out.splitlines()[1:] == first.out.splitlines()[1:]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset=minst", "--manual_dir=."], "mnist|fashion_mnist|cifar10"),
        (["--dataset=mnist"], "manual_dir"),
        (["--dataset=mnist", "--manual_dir=nowhere"], "is missing; fetch it from"),
    ],
)
def test_bad_input_is_one_sentence(flags, words, tmp_path):
    end = command_line.run(["prepare_data", *flags], tmp_path)
    assert (end.code, end.out) == (2, "")
    assert end.err.startswith("error: ") and words in end.err
    assert end.err.count("\n") == 1
