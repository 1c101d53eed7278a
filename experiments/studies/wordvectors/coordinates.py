"""Do single coordinates of word vectors mean more than random directions do?"""

from typing import Any, NamedTuple

import numpy as np
from sklearn import decomposition

from experiments.studies import words
from robust_jax import analysis, report
from robust_jax.commands.shared import recording

_DIRECTIONS = 200  # random ones
_TOP = 10  # words of a direction
_READ = 30_000  # words at most, the commonest


class _Read(NamedTuple):
    coherence: np.ndarray  # [M], of each direction's words
    apart: np.ndarray  # [M], how far an intruder stands out
    tops: np.ndarray  # [M, k]


def coordinates(
    text: words.Corpus, vectors: words.WordVectors, seed: int, run: recording.Run
) -> dict[str, float]:
    """Coherence along the axes, random directions and independent components."""
    vectors = vectors.cut(_READ)
    width = vectors.matrix.shape[1]
    random = np.random.default_rng(seed).normal(size=(_DIRECTIONS // 2, width))
    bases = {
        "coordinates": np.eye(width),
        "random directions": random,
        "independent components": _independent(vectors, seed),
    }
    company = words.Cooccurrences(text)
    found = {}
    for name, basis in bases.items():
        both = np.concatenate([basis, -basis])
        both /= np.linalg.norm(both, axis=1, keepdims=True)
        tops = words.top_words(vectors, both, _TOP)
        apart = words.intruder_ratios(vectors, both, vectors.unit, _TOP, seed=seed)
        found[name] = _Read(company.npmi(tops), apart, tops)
    rows = _rows(found, vectors, seed)
    run.table(
        "Coordinates of word vectors against random directions",
        f"Coherence: mean NPMI of the {_TOP} words furthest along a direction, both "
        "signs; intruder: its distance to them over theirs to one another.",
        rows,
    )
    title = "Coherence of the words along a direction"
    about = f"{_DIRECTIONS} random directions; both signs of each coordinate."
    samples = {name: read.coherence for name, read in found.items()}
    report.plots.histograms(
        run.figure("coherence", title, about), samples, title, "mean NPMI", bins=20,
        counted="directions",
    )  # fmt: skip
    return {"AUC of coordinates over random": rows[0]["AUC over random"]}


def _rows(
    found: dict[str, _Read], vectors: words.WordVectors, seed: int
) -> list[dict[str, Any]]:
    random, rows = found["random directions"], []
    for name, read in found.items():
        test = analysis.compare(read.coherence, random.coherence, seed=seed)
        aside = analysis.compare(read.apart, random.apart, seed=seed)
        best = read.tops[read.coherence.argmax()][:5]
        rows.append(
            {
                "directions": name,
                "coherence": test.first,
                "AUC over random": test.auc,
                "p": test.p,
                "intruder stands out": aside.first,
                "its AUC": aside.auc,
                "the most coherent": " ".join(vectors.words[i] for i in best),
            }
        )
    return rows


def _independent(vectors, seed):
    """The directions of independent components, [d, d]."""
    ica = decomposition.FastICA(
        whiten="unit-variance", max_iter=100, tol=1e-2, random_state=seed
    )
    return ica.fit(vectors.unit).components_
