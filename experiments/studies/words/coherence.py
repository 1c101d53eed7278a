"""Do single coordinates of word vectors mean something? (host)

A direction is read as topics are: by the words that go furthest along it. They are
coherent if they occur together, and if a word from elsewhere stands out among them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from experiments.studies.words.vectors import WordVectors
from experiments.studies.words.vocabulary import Corpus
from robust_jax.core import checks


def top_words(
    vectors: WordVectors, directions: ArrayLike, k: int = 10
) -> NDArray[np.integer]:
    """For each of M directions the k words furthest along it, [M, k], places.

    Args:
        vectors: of length one each, so that frequent words are not all that is seen.
        directions: shape [M, d]; both signs of a coordinate are two directions.
        k: how many.
    Raises: ValueError: directions of another width; k that is not positive.
    """
    checks.positive_integer("k", k)
    directions = np.asarray(directions, np.float32)
    if directions.ndim != 2 or directions.shape[1] != vectors.matrix.shape[1]:
        raise ValueError(
            f"directions.shape={directions.shape}; expected [M, "
            f"{vectors.matrix.shape[1]}], as the vectors have coordinates"
        )
    scores = directions @ vectors.unit.T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


class Cooccurrences:
    """Which words of a text are within a window of which.

    Args:
        text: the text.
        window: how far; windows do not leave a sentence.
        most: how many tokens are read, the first; None reads all.
    """

    def __init__(
        self, text: Corpus, window: int = 5, most: int | None = 5_000_000
    ) -> None:
        checks.positive_integer("window", window)
        size = len(text.vocabulary)
        tokens, numbers = text.tokens[:most], text.sentences[:most]
        pairs = sparse.csr_array((size, size), dtype=np.float64)
        for step in range(1, window + 1):
            is_near = numbers[step:] == numbers[:-step]
            places = (tokens[:-step][is_near], tokens[step:][is_near])
            ones = np.ones(len(places[0]))
            pairs += sparse.csr_array((ones, places), shape=(size, size))
        self._pairs = (pairs + pairs.T).tocsr()
        self._totals = self._pairs.sum(axis=1)

    def npmi(self, groups: ArrayLike) -> NDArray[np.float64]:
        """The mean normalised pointwise mutual information inside groups, [M].

        1: always together; 0: as chance has it; -1: never. Words that never meet count
        -1.

        Args:
            groups: places of words, shape [M, k], k >= 2.
        Raises: ValueError: groups of fewer than two.
        References: Bouma, "Normalized (pointwise) mutual information in collocation
            extraction", 2009; Lau et al., "Machine reading tea leaves", EACL 2014.
        """
        groups = np.asarray(groups)
        if groups.ndim != 2 or groups.shape[1] < 2:
            raise ValueError(f"groups.shape={groups.shape}; expected [M, k], k >= 2")
        first, second = np.triu_indices(groups.shape[1], 1)
        a, b = groups[:, first], groups[:, second]
        total = self._totals.sum()
        joint = self._pairs[a.ravel(), b.ravel()].reshape(a.shape) / total
        apart = self._totals[a] * self._totals[b] / total**2
        known = np.where(joint > 0, joint, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.log(known / apart) / -np.log(known)
        return np.where(joint > 0, scores, -1.0).mean(axis=1)


def intruder_ratios(
    vectors: WordVectors,
    directions: ArrayLike,
    space: ArrayLike,
    k: int = 10,
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """How far an intruder stands out from each direction's words, [M].

    The intruder is a random word of the lower half along the direction. The score is
    its mean distance to the k words over their mean distance to each other: above 1,
    it is further from them than they are from one another.

    Args:
        vectors: the words.
        directions: shape [M, d].
        space: vectors in which the distances are taken, [V, e]: those of the words,
            or others.
        k: words of a direction, at least two.
        seed: of the intruders.
    Raises: ValueError: as `top_words`; fewer than two words.
    References: Subramanian et al., "SPINE: sparse interpretable neural embeddings",
        AAAI 2018, after Sun et al., "Sparse word embeddings using l1 regularized online
        learning", IJCAI 2016.
    """
    if k < 2:
        raise ValueError(f"k={k}; expected at least 2")
    tops, space = top_words(vectors, directions, k), np.asarray(space, np.float32)
    directions = np.asarray(directions, np.float32)
    rng = np.random.default_rng(seed)
    found = []
    for direction, top in zip(directions, tops, strict=True):
        along = vectors.unit @ direction
        intruder = rng.choice(np.flatnonzero(along < np.median(along)))
        points = space[top]
        apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
        inside = apart.sum() / (k * (k - 1))
        found.append(np.linalg.norm(points - space[intruder], axis=1).mean() / inside)
    return np.asarray(found)
