"""The evaluations of invariance_test, in a module that processes of their own run.

    python -m tests.evaluate.invariance_cases apgd

prints the digest of an attack's findings on the devices that the process sees.
"""

import hashlib
import json
import os
import sys

import jax
import numpy as np

from robust_jax import attacks, threats
from robust_jax.core import compiling
from robust_jax.evaluate import Layout, Stage, likeliest_targets, robustness
from robust_jax.losses import objectives
from tests import victims

N, SHAPE, CLASSES, TILE = 1000, (6, 6, 1), 4, 16
NET = victims.two_layer_victim(SHAPE, CLASSES, seed=3, scale=4.0)
IMAGES = victims.inputs(SHAPE, N, seed=5)
LABELS = victims.predicted(NET, IMAGES)
THREAT = threats.L2(0.15)
PLANS = {
    "apgd": (Stage("apgd", attacks.apgd(objectives.dlr, 6), likeliest_targets(2), 2),),
    "fab": (Stage("fab", attacks.fab(5), likeliest_targets(3)),),
    "square": (Stage("square", attacks.square(40)),),
}


def evaluated(name, some=slice(None), **options):
    """The report of one attack on some of the examples."""
    options = {"layout": Layout(tile=TILE), "audit": False, **options}
    images, labels = IMAGES[some], LABELS[some]
    return robustness(NET, images, labels, THREAT, plan=PLANS[name], **options)


def findings(report):
    """Flags, bytes and useful cost, per example."""
    (stage,) = report.stages
    return {
        "clean": report.clean,
        "winner": report.winner,
        "place": report.place,
        "x_adv": report.x_adv,
        "forwards": stage.forwards,
        "backwards": stage.backwards,
        "best_margin": report.best_margin,
    }


def digest(report):
    """All findings as one short text."""
    total = hashlib.blake2b(digest_size=16)
    for value in findings(report).values():
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()


def found(name, some=slice(None), **options):
    return findings(evaluated(name, some, **options))


def compile_as_users_do():
    """The drivers' programs are optimised, which other tests' are not."""
    options = compiling.compiler_options() | {"xla_backend_optimization_level": 3}
    compiling.compiler_options = lambda: options


def flags():
    """The suite's for XLA, for a process of its own: loops are users', too."""
    given = os.environ.get("XLA_FLAGS", "").split()
    return " ".join(flag for flag in given if "fusion_emitters" not in flag)


if __name__ == "__main__":
    compile_as_users_do()
    digest_found = digest(evaluated(sys.argv[1], slice(0, 200)))
    answer = {"devices": len(jax.devices()), "digest": digest_found}
    sys.stdout.write(json.dumps(answer) + "\n")
