"""Training by two processes of two devices each, and on by one of one."""

import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from robust_jax import datasets, models, train

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
CHANGES = {"model": "mlp", "epochs": 50, "validate_every": 50}
COUNT = 256


@pytest.fixture
def started(tmp_path):
    """Starts `experiments.train` on some devices; the end kills what still runs."""
    running = []

    def start(devices, *options):
        flags = os.environ.get("XLA_FLAGS", "")  # How much is optimised.
        flags += f" --xla_force_host_platform_device_count={devices}"
        command = [sys.executable, "-m", "experiments.train", "--recipe=digits"]
        command += [f"--set={path}={value}" for path, value in CHANGES.items()]
        command += [f"--count={COUNT}", f"--out={tmp_path}", "--save_every=1000"]
        running.append(
            subprocess.Popen(
                [*command, *options],
                cwd=ROOT,
                env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_a_signal_to_one_stops_both_and_one_goes_on(started, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    joined = [f"--coordinator=127.0.0.1:{port}", "--processes=2"]
    first, second = (started(2, *joined, f"--process={i}") for i in (0, 1))
    while not (tmp_path / "metrics.jsonl").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    second.send_signal(signal.SIGTERM)
    told = [process.communicate(timeout=120) for process in (first, second)]
    assert (first.returncode, second.returncode) == (143, 143), told
    assert "stopped after step" in told[0][1]
    assert "stopped after step" not in told[1][1]
    alone = started(1)
    out, err = alone.communicate(timeout=120)
    assert alone.returncode == 0, err
    assert "going on from step" in out
    data = datasets.load("digits", "train").take(np.arange(COUNT))
    validation = datasets.load("digits", "validation")
    whole = train.fit(train.recipe("digits", CHANGES), data, validation)
    found = models.load(tmp_path / "model.safetensors").variables
    for leaf, expected in zip(
        jax.tree.leaves(found), jax.tree.leaves(whole.variables), strict=True
    ):
        np.testing.assert_allclose(leaf, expected, atol=1e-4)
