"""Nets as ONNX files: the same logits in onnxruntime, and read in again.

jax2onnx lies beside the environment, as it wants another Orbax: a child process, one
for all nets, writes the files.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import onnx
import pytest

from robust_jax import interop
from robust_jax.core import origin
from robust_jax.interop.onnx import runtimes

BESIDE = pathlib.Path(sys.prefix) / "jax2onnx"
NETS = ("fast_cnn", "vit", "wide_resnet", "linen", "nnx", "by_hand")
REFUSED = {
    "called_back": "net computes the primitive 'pure_callback', which jax2onnx does",
    "batch": "expected logits [K]; wrap a net of batches by interop.per_example",
    "failing": "net fails on an example of shape (8, 8, 1): dot_general requires",
    "unlike": "differ from the net's by 1.0e-03 of the largest; expected at most",
}
needs_jax2onnx = pytest.mark.skipif(
    not BESIDE.is_dir(), reason=f"{BESIDE} is not there: make test installs it"
)


def written(folder, *names):
    """What the child process says of the nets that it writes."""
    path = os.pathsep.join((str(BESIDE), str(pathlib.Path(__file__).parents[2])))
    child = subprocess.run(
        [sys.executable, "-m", "tests.interop.export_onnx", str(folder), *names],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return folder, written(folder, *NETS, "loop", *REFUSED)


def operators(path):
    return collections.Counter(node.op_type for node in onnx.load(path).graph.node)


def check_round_trip(folder, name, said):
    """In onnxruntime, and read in again, at batches of 1 to 64."""
    known = np.load(folder / f"{name}.npz")
    images, logits = known["images"], known["logits"]
    close = 1e-5 * np.abs(logits).max()
    assert 0 <= said["difference"] <= 1e-5
    model = onnx.load(folder / f"{name}.onnx")
    onnx.checker.check_model(model)
    runtime = runtimes.in_onnxruntime(model)
    back = interop.from_onnx(folder / f"{name}.onnx")
    assert origin.of(back).layout == "HWC"
    assert origin.of(back).parity.logits < 1e-5
    again = jax.jit(jax.vmap(back))
    for batch in (1, 7, 64):
        (found,) = runtime.run(images[:batch])
        np.testing.assert_allclose(found, logits[:batch], rtol=0, atol=close)
    for batch in (1, 64):
        found = again(images[:batch])
        np.testing.assert_allclose(found, logits[:batch], rtol=0, atol=close)


@needs_jax2onnx
@pytest.mark.parametrize("name", NETS)
def test_a_net_is_the_same_when_it_is_written_and_read_again(exported, name):
    folder, said = exported
    assert "error" not in said[name], said[name]
    check_round_trip(folder, name, said[name])


@needs_jax2onnx
def test_layers_are_those_that_verifiers_know(exported):
    folder, _ = exported
    fast = operators(folder / "fast_cnn.onnx")
    assert fast["Conv"] == 2 and fast["Relu"] == 3 and fast["Gemm"] == 2
    wide = operators(folder / "wide_resnet.onnx")
    assert wide["Conv"] == 9 and wide["Relu"] == 7
    vit = operators(folder / "vit.onnx")  # One block: the values' sum stays.
    assert vit["MatMul"] == 7 and vit["Einsum"] == 1
    for found in (fast, wide):
        unlike = {"Einsum", "Max", "Shape", "Concat", "Slice", "Expand", "Sqrt"}
        assert not unlike.intersection(found)


@needs_jax2onnx
def test_a_loop_goes_out_and_does_not_come_in(exported):
    folder, said = exported
    assert said["loop"]["difference"] <= 1e-5
    with pytest.raises(ValueError, match=r"\(Loop\) is control flow, which is not"):
        interop.from_onnx(folder / "loop.onnx")


@needs_jax2onnx
@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_cannot_be_written_is_said_in_a_sentence(exported, name, reason):
    folder, said = exported
    assert reason in said[name]["error"] and "\n" not in said[name]["error"]
    assert not (folder / f"{name}.onnx").exists()
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]
    check_round_trip(folder, "by_hand", said["by_hand"])  # What was there stays.


def test_without_jax2onnx_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)  # Wherever it is installed.
    with pytest.raises(ImportError, match=r"pip install 'robust-jax\[onnx-export\]'"):
        interop.to_onnx(lambda x: x, np.zeros(3), tmp_path / "net.onnx")
    assert not [*tmp_path.iterdir()]


@needs_jax2onnx
@pytest.mark.full
def test_a_net_of_full_size_is_the_same(tmp_path):
    (said,) = written(tmp_path, "preact_resnet18").values()
    check_round_trip(tmp_path, "preact_resnet18", said)
    assert operators(tmp_path / "preact_resnet18.onnx")["Conv"] == 20
