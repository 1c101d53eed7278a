"""Does the space of words have axes of its own? Rotations tell."""

import dataclasses

import jax
import numpy as np
import optax

from experiments.studies import words
from robust_jax import analysis
from robust_jax.commands.shared import recording

_RATE = {"SGD": None, "Adam": 1e-3}  # None: word2vec's.
_SCALINGS = {"SGD": None, "Adam": optax.scale_by_adam()}


def answers_kept(
    vectors: words.WordVectors,
    found: list[words.Answers],
    sections: list[words.Section],
    most: int,
    seed: int,
) -> float:
    """The share of analogies that are answered alike after a random rotation."""
    rotation = analysis.random_rotation(vectors.matrix.shape[1], seed)
    again = words.answer(vectors.rotated(rotation), sections, most=most)
    pairs = zip(found, again, strict=True)
    return float(np.concatenate([a.answers == b.answers for a, b in pairs]).mean())


def equivariance(
    text: words.Corpus, settings: words.Settings, seed: int, run: recording.Run
) -> dict[str, float]:
    """Trains twice, the second time from rotated vectors: is the end rotated too?"""
    rng = np.random.default_rng(seed)
    shape = (len(text.vocabulary), settings.size)
    first, second = rng.normal(size=(2, *shape)).astype(np.float32) / settings.size
    rotation = analysis.random_rotation(settings.size, seed).astype(np.float32)
    rows, values = [], {}
    for name, scaling in _SCALINGS.items():
        short = dataclasses.replace(settings, epochs=1, rate=_RATE[name])
        ends = []
        for turn in (np.eye(settings.size, dtype=np.float32), rotation):
            start = words.Tables(first @ turn, second @ turn)
            start = jax.tree.map(jax.numpy.asarray, start)
            done = words.train(text, short, seed, start=start, scaling=scaling)
            ends.append(done.vectors.matrix @ done.vectors.matrix.T)
        change = np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(ends[0])
        rows.append({"trained by": name, "change of the inner products": float(change)})
        values[f"change by rotated start, {name}"] = float(change)
    run.table(
        "Two trainings, the second from rotated vectors",
        "One epoch; relative change of the matrix of all inner products. The loss does "
        "not see the axes; SGD does not either, Adam's scaling by coordinate does.",
        rows,
    )
    return values
