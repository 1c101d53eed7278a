"""Which analogies word vectors solve, by type."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.studies import words
from robust_jax import report
from robust_jax.commands.shared import recording

# gensim's skip-gram of 100 numbers on text8, 5 epochs, sample 1e-4: as published.
_TEXT8 = {
    "family": "59",
    "capital-common-countries": "67",
    "gram6-nationality-adjective": "77",
    "gram8-plural": "52",
    "gram3-comparative": "50",
    "gram1-adjective-to-adverb": "14",
    "gram2-opposite": "11",
    "semantic": "39.0",
    "syntactic": "41.1",
    "all": "40.4",
}


_SHOWN = 14  # pairs


def accuracy(
    found: Mapping[str, list[words.Answers]], paper: bool, run: recording.Run
) -> None:
    """A row for each type, then for all; a column for each trainer."""
    (first, *_) = found.values()
    groups = [(one.section.name, [i]) for i, one in enumerate(first)]
    if any(one.section.is_syntactic for one in first):
        for name, kind in (("semantic", False), ("syntactic", True)):
            places = [
                i for i, one in enumerate(first) if one.section.is_syntactic == kind
            ]
            groups.append((name, places))
    groups.append(("all", list(range(len(first)))))
    rows = []
    for name, places in groups:
        row: dict[str, Any] = {"analogies": name}
        row["asked"] = sum(len(first[i].asked) for i in places)
        for trainer, answers in found.items():
            share = words.accuracy([answers[i] for i in places])
            row[f"{trainer}, %"] = f"{100 * share:.1f}"
        if paper:
            row["text8, %"] = _TEXT8.get(name, "-")
        rows.append(row)
    about = (
        "text8: what gensim's authors report of a run like this on another text."
        if paper
        else "a is to b as c is to which word?"
    )
    run.table("Analogies answered rightly", about, rows)


def drawn_pairs(
    vectors: words.WordVectors, sections: list[words.Section], run: recording.Run
) -> None:
    """Pairs of one type in the plane of their two main components."""
    section = max(sections, key=lambda s: _known(vectors, s))
    pairs = _pairs(vectors, section)[:_SHOWN]
    starts, ends = (np.array([vectors.unit[p[i]] for p in pairs]) for i in (0, 1))
    both = np.concatenate([starts, ends])
    axes = np.linalg.svd(both - both.mean(0), full_matrices=False)[2][:2]
    title = f"Pairs of {section.name}, their two main components"
    about = "Lines of one direction: one vector tells one member from the other."
    names = [tuple(vectors.words[i] for i in pair) for pair in pairs]
    report.plots.pairs(
        run.figure("pairs", title, about), starts @ axes.T, ends @ axes.T, names, title
    )


def _known(vectors, section):
    return len(_pairs(vectors, section))


def _pairs(vectors, section):
    index = {word.upper(): i for i, word in reversed(list(enumerate(vectors.words)))}
    firsts = dict.fromkeys((a.upper(), b.upper()) for a, b, _, _ in section.questions)
    return [(index[a], index[b]) for a, b in firsts if a in index and b in index]
