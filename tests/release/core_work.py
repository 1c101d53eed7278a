"""What the core alone does: one attack, one evaluation; run where it is installed.

usage: python -P core_work.py OUT EXPRESSION...
Writes as JSON what was measured, and the error of each expression, or null. They know
`rj`, a `model` with its `images`, `labels` and `threat`, its `report`, and `out`.
"""

import functools
import json
import pathlib
import sys

import numpy as np

import robust_jax as rj


class Linear:
    """A net that is a product."""

    def __init__(self, rng):
        self.weights = rng.normal(size=(64, 10)).astype(np.float32)

    def __call__(self, x):
        return x.reshape(-1) @ self.weights


def error_of(work) -> str | None:
    """What `work()` raises."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def unguarded() -> dict[str, str]:
    """Public names that fail without a word on what to install, with what they say."""
    said = {}
    for package in dir(rj):
        said[package] = error_of(functools.partial(getattr, rj, package))
        if said[package] is None:
            there = getattr(rj, package)
            for name in getattr(there, "__all__", ()):
                get = functools.partial(getattr, there, name)
                said[f"{package}.{name}"] = error_of(get)
    return {k: v for k, v in said.items() if v and "'robust-jax[" not in v}


def main(out: pathlib.Path, *expressions: str) -> None:
    """Prints what came of it."""
    rng = np.random.default_rng(0)
    images, model = rng.uniform(size=(8, 8, 8, 1)).astype(np.float32), Linear(rng)
    labels = (images.reshape(8, -1) @ model.weights).argmax(axis=1).astype(np.int32)
    threat = rj.threats.Linf(0.1)
    sys.stderr.isatty = lambda: True  # Bars, not lines of a log.
    found = rj.attack("pgd", model, images, labels, threat, progress=True)
    report = rj.evaluate.robustness(
        model, images, labels, threat, plan="basic", audit=False, progress=True
    )
    report.save(out / "saved")
    names = {"rj": rj, "model": model, "images": images, "labels": labels, "out": out}
    names |= {"threat": threat, "report": report}
    measured = {
        "file": rj.__file__,
        "version": rj.__version__,
        "clean": report.clean_accuracy.value,
        "robust": report.robust_accuracy.value,
        "attacked": float(np.mean(found.margin < 0)),
        "moved": float(np.abs(found.x_adv - images).max()),
        "errors": {e: error_of(functools.partial(eval, e, names)) for e in expressions},
        "unguarded": unguarded(),
    }
    sys.stdout.write(json.dumps(measured))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
