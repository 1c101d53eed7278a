"""Runs of an evaluation on disk, made up: their record and their adversarial.npz."""

import numpy as np

from robust_jax.core import records

STAGES = ("apgd-ce", "square")


def arrays(n=12, shape=(8, 8, 1), classes=3, low=0.0, high=1.0, eps=0.1, seed=0):
    """Of n examples a quarter each: broken by either stage, hold, wrong from the start.

    Every image is flat but for its own number in the corner, so that pictures tell
    which one they are of.
    """
    rng = np.random.default_rng(seed)
    x = np.full((n, *shape), 0.5, np.float32) + rng.uniform(0, 0.2, (n, *shape))
    winner = np.resize([0, 1, -1, -2], n)
    labels = np.arange(n) // 4 % classes
    signs = np.where(rng.random(x.shape) < 0.5, -1, 1) * eps
    x_adv = np.where((winner >= 0).reshape(n, *[1] * len(shape)), x + signs, x)
    is_right = winner != -2
    return {
        "x": (low + x * (high - low)).astype(np.float32),
        "x_adv": (low + x_adv * (high - low)).astype(np.float32),
        "winner": winner,
        "clean": is_right,
        "ids": np.arange(n, dtype=np.uint64),
        "labels": labels,
        "predicted": np.where(is_right, labels, (labels + 1) % classes),
        "predicted_adv": np.where(winner == -1, labels, (labels + 1) % classes),
        "confidence": np.linspace(0.4, 0.9, n, dtype=np.float32),
        "confidence_adv": np.linspace(0.9, 0.4, n, dtype=np.float32),
        "margin": np.where(is_right, -1, 1) * np.linspace(0.1, 1, n, dtype=np.float32),
        "margin_adv": np.where(winner == -1, -0.5, 0.5).astype(np.float32),
    }


def record(classes=("circle", "square", "star"), layout=None, n=12, **changes):
    """A record of such an evaluation."""
    share = {"successes": n // 2, "n": n}
    row = {"model": "net", "threat": "linf eps=0.1", "n": n, "accuracy": share}
    stages = [{**row, "attack": stage} for stage in (*STAGES, "worst case")]
    evaluation = {
        "model": "net",
        "threat": "linf eps=0.1",
        "origin": {"source": "a function", "layout": layout, "parity": None},
        "claims": {"summary": "all hold", "passed": True},
        "distrust": None,
        "audit": None,
        "unfinished": 0,
        "ledger": [{"stage": stage} for stage in STAGES],
    }
    made = {
        "schema": records.SCHEMA,
        "experiment": "evaluate",
        "title": "Robustness of net",
        "summary": "Half of the images hold.",
        "figures": [],
        "command": "robust-jax evaluate",
        "flags": {"plan": "standard", "eps": 0.1},
        "environment": {"jax": "0.0"},
        "rows": [{**row, "attack": "none"}, *stages],
        "series": {"classes": list(classes), "evaluation": evaluation},
        "notes": [],
        "seconds": 1.5,
    }
    return {**made, **changes}


def save(folder, record, arrays, compressed=True):
    """Writes both into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    records.write_json(folder / "record.json", record)
    write = np.savez_compressed if compressed else np.savez
    write(folder / "adversarial.npz", **arrays)
    return folder
