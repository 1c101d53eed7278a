"""The ten jobs of docs/bring-your-model.md run as printed, on fewer images."""

import json
import pathlib
import re
import shlex
import shutil
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import robust_jax as rj
from tests import mynets
from tests.experiments import command_line

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs/bring-your-model.md").read_text()
SETTING, *BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COUNT = 8


def lines_of(block):
    return [line for line in block.splitlines() if line.strip()]


def test_ten_jobs_of_at_most_ten_lines():
    assert len(BLOCKS) + len(COMMANDS) == 10
    for block in BLOCKS:
        assert len(lines_of(block)) <= 10
        assert max(map(len, block.splitlines())) <= 88, block
    assert all(len(lines_of(command)) == 1 for command in COMMANDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the jobs read, and the names of the first block."""
    folder = tmp_path_factory.mktemp("bring")
    data = rj.datasets.load("digits", "test").take(np.arange(COUNT))
    torch.manual_seed(0)
    module = mynets.Torch().eval()
    torch.save({"state_dict": module.state_dict()}, folder / "net.pt")
    with warnings.catch_warnings(action="ignore"):  # The other exporter wants more.
        torch.onnx.export(
            module,
            torch.zeros(2, 1, 8, 8),
            folder / "net.onnx",
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            dynamo=False,
        )
    shutil.copy(mynets.__file__, folder / "mynets.py")
    np.savez(folder / "images.npz", images=data.pixels(), labels=data.labels)
    for label in range(10):
        (folder / f"folder/{label}").mkdir(parents=True)
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        pixels = Image.fromarray((image[..., 0] * 15).astype(np.uint8))
        pixels.save(folder / f"folder/{label}/{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(sys.modules, "mynets", mynets)
        setting = SETTING.replace("range(100)", f"range({COUNT})")
        exec(setting, names := {})
        yield folder, names


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_job_runs(place, capsys, number):
    block = BLOCKS[number].replace('plan="swift"', 'plan="basic", audit=False')
    block = block.replace("1_000", "5")
    exec(block, dict(place[1]))
    assert f"n = {COUNT})" in capsys.readouterr().out


@pytest.mark.xdist_group("experiments")
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_a_command_runs(place, number):
    python, _, name, *options = shlex.split(COMMANDS[number])
    assert python == "python"
    options = [o for o in options if not o.startswith("--plan=")]
    name = name.removeprefix("experiments.")
    shorter = ["--plan=basic", "--noaudit", f"--out=out/{number}"]
    done = command_line.run([name, *options, *shorter], place[0])
    assert done.code == 0, done.err
    record = json.loads((place[0] / f"out/{number}/record.json").read_text())
    assert record["rows"][0]["n"] == COUNT
