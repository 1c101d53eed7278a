"""Words with vectors: neighbours, rotations (host)."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robust_jax.core import checks


class Neighbour(NamedTuple):
    """A word near another one."""

    word: str
    cosine: float


@dataclasses.dataclass(frozen=True)
class WordVectors:
    """Words, the commonest first, each with a vector.

    Raises: ValueError: words and rows that differ in number, or no word.
    """

    words: tuple[str, ...]
    matrix: NDArray[np.float32]  # [V, d]

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.words) != len(self.matrix) or not self:
            raise ValueError(
                f"matrix.shape={self.matrix.shape} for {len(self.words)} words; "
                "expected [V, d] with a row for each word"
            )

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, word: str) -> NDArray[np.float32]:
        return self.matrix[self.place(word)]

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The place of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @functools.cached_property
    def unit(self) -> NDArray[np.float32]:
        """The vectors at length 1, [V, d]; a zero vector stays zero."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return self.matrix / np.maximum(lengths, np.finfo(np.float32).tiny)

    def place(self, word: str) -> int:
        """The row of a word.

        Raises: ValueError: a word that has no vector.
        """
        if word not in self.index:
            raise ValueError(
                f"{checks.shown(word)} is not among the {len(self):,} words; expected "
                "one of them"
            )
        return self.index[word]

    def nearest(self, word: str | ArrayLike, k: int = 10) -> list[Neighbour]:
        """The k words of the largest cosine; a word is not its own neighbour.

        Args:
            word: one of the words, or a vector of shape [d].
            k: how many.
        Raises: ValueError: a word that has no vector; k that is not positive.
        """
        checks.positive_integer("k", k)
        if isinstance(word, str):
            own = self.place(word)
            cosines = self.unit @ self.unit[own]
            cosines[own] = -np.inf
        else:
            vector = np.asarray(word, np.float32)
            cosines = self.unit @ (vector / np.linalg.norm(vector))
        order = np.argsort(-cosines, kind="stable")[:k]
        found = [Neighbour(self.words[i], float(cosines[i])) for i in order]
        return [each for each in found if np.isfinite(each.cosine)]

    def cut(self, most: int) -> "WordVectors":
        """The first so many words."""
        checks.positive_integer("most", most)
        return WordVectors(self.words[:most], self.matrix[:most])

    def rotated(self, rotation: ArrayLike) -> "WordVectors":
        """All vectors times a matrix of shape [d, d]."""
        turned = self.matrix @ np.asarray(rotation, np.float32)
        return WordVectors(self.words, turned)
