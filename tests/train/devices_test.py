"""One, eight and two times one device: the same order and keys, the same state."""

import os
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from robust_jax.train import devices


def environment(devices):
    flags = os.environ.get("XLA_FLAGS", "")  # How much is optimised.
    flags += f" --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def start(out, devices, *arguments):
    command = [sys.executable, "-m", "tests.train.devices_run", str(out)]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        env=environment(devices),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait(*processes):
    """What the last one said."""
    for process in processes:
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        assert process.returncode == 0, said
    return said


def read(path):
    with np.load(path) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    path = tmp_path_factory.mktemp("devices") / "single.npz"
    wait(start(path, 1))
    return read(path)


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What eight devices have found, and what they said of their costs."""
    path = tmp_path_factory.mktemp("devices") / "eight.npz"
    said = wait(start(path, 8))
    return read(path), said


def assert_same(found, single):
    for name in ("step_order", "step_key"):
        np.testing.assert_array_equal(found[name], single[name])
    assert len(np.unique(single["step_key"], axis=0)) == 5
    assert {"main_0", "step_order"} <= found.keys() <= single.keys()
    for name, leaf in found.items():
        np.testing.assert_allclose(
            leaf.astype(float), single[name], rtol=0, atol=1e-5, err_msg=name
        )


def test_eight_devices_equal_one(single, eight):
    found, _ = eight
    assert_same(found, single)
    assert found.keys() == single.keys()


def test_two_processes_equal_one(single, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "two.npz"
    wait(*(start(path, 1, 2, process, port) for process in (0, 1)))
    assert_same(read(path), single)


def test_devices_share_the_work_and_gather_no_activations(eight):
    lines = eight[1].splitlines()[-1].split()
    alone, shared, gathers = float(lines[0]), float(lines[1]), int(lines[2])
    assert shared / alone <= 1.02 / 8
    assert gathers == 0


def test_a_batch_that_devices_cannot_share_is_refused():
    words = "batch_size=100 on 8 devices; expected a multiple of 8, or 5 devices"
    with pytest.raises(ValueError, match=re.escape(words)):
        devices.mesh_for(100, SimpleNamespace(size=8))
    assert devices.mesh_for(64, SimpleNamespace(size=8)).size == 8


def test_one_device_needs_no_mesh():
    assert devices.mesh_for(7) is None


def test_a_process_alone_falls_back_to_one_device_and_several_do_not(monkeypatch):
    monkeypatch.setattr(devices.jax, "device_count", lambda: 4)
    assert devices.mesh_for(6) is None
    monkeypatch.setattr(devices.jax, "process_count", lambda: 2)
    monkeypatch.setattr(devices, "data_mesh", lambda: SimpleNamespace(size=4))
    with pytest.raises(ValueError, match="batch_size=6 on 4 devices; expected a mult"):
        devices.mesh_for(6)
