"""What the comparisons with other libraries ask on the command line, and attack."""

import math
import os

from absl import flags

from experiments.comparisons.peers import child, problem as problems
from experiments.comparisons.peers.libraries import Libraries
from experiments.comparisons.peers.problem import Problem
from robust_jax import models, threats
from robust_jax.commands.shared import common, numbers
from robust_jax.core import array_checks, checks
from robust_jax.core.types import Threat
from robust_jax.datasets.types import Dataset

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "out/train/model.safetensors", "A fast_cnn, as models.save writes it."
)
_DATASET = flags.DEFINE_string(
    "dataset", None, "Default: the data set that the net was trained on."
)
_COUNT = flags.DEFINE_integer("count", 100, "The first so many test images.")
NORM = flags.DEFINE_enum("norm", "linf", ["linf", "l2", "l1", "l0"], "Of the threat.")
EPS = numbers.DEFINE_number(
    "eps", None, "Radius, pixel units of [0, 1]; compare_distances has none."
)
REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Counted runs of each.")
_PEERS_PYTHON = flags.DEFINE_string(
    "peers_python", ".venv-peers/bin/python", "Interpreter that `make peers` set up."
)


def check() -> None:
    """Raises ValueError for flags out of range, or another back end than the CPU."""
    if NORM.value == "l0":
        raise ValueError("norm=l0; expected linf, l2 or l1, for which others have PGD")
    if EPS.value is None:
        raise ValueError("eps=None; expected a radius, such as --eps=0.1")
    array_checks.eps(NORM.value, EPS.value)
    checks.positive_number("eps", EPS.value)
    checks.positive_integer("repetitions", REPETITIONS.value)
    child.check_on_cpu()


def check_without_radius() -> None:
    """Raises ValueError for a radius, or another back end than the CPU."""
    if EPS.value is not None:
        raise ValueError(
            f"eps={EPS.value:g}; minimum-norm attacks have no radius; leave it out"
        )
    child.check_on_cpu()


def posed() -> tuple[Dataset, Problem, Libraries]:
    """The images, those that the net gets right, and the libraries to attack them.

    Without --eps the threat has no bound but the box.
    Raises: FileNotFoundError: no such interpreter, checkpoint or data set. ValueError:
        a net that the libraries' side cannot build.
    """
    child.check_installed(_PEERS_PYTHON.value)
    checkpoint = models.load(CHECKPOINT.value)
    data = common.load_for(checkpoint, _DATASET.value, "test", _COUNT.value)
    eps = math.inf if EPS.value is None else EPS.value
    threat: Threat = threats.by_name(NORM.value)(eps)
    problem = problems.pose(CHECKPOINT.value, checkpoint, data, threat)
    arrays = problems.arrays(checkpoint, problem)
    return data, problem, Libraries(_PEERS_PYTHON.value, arrays)


def summary(data: Dataset) -> str:
    """The images and the threat, in words."""
    return f"{data.name} test, n = {len(data)}, {NORM.value} eps={EPS.value:g}"


def conditions(peers: Libraries, problem: Problem) -> str:
    """What a table of both sides was measured on, in a sentence."""
    versions = ", ".join(f"{name} {v}" for name, v in sorted(peers.versions.items()))
    return (
        f"{len(problem.images)} of {problem.total} images are attacked, the others are "
        f"lost already; {peers.threads} threads on either side; load average at the "
        f"end {os.getloadavg()[0]:.1f}; {versions}."
    )
