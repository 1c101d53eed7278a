"""Is the vector of Paris - France + Italy near that of Rome? (host)"""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.studies.words.vectors import WordVectors
from robust_jax.core.records import PathLike

_TILE = 512  # Questions answered at once.


@dataclasses.dataclass(frozen=True)
class Section:
    """Questions of one type: a is to b as c is to d."""

    name: str
    questions: tuple[tuple[str, str, str, str], ...]

    @property
    def is_syntactic(self) -> bool:
        """Whether it asks about a form of words; the file calls these gram..."""
        return self.name.startswith("gram")


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was found for one section; questions with unknown words are not asked."""

    section: Section
    asked: NDArray[np.integer]  # [n], places in the section's questions
    answers: NDArray[np.integer]  # [n], places of the words answered
    is_right: NDArray[np.bool_]  # [n]

    @property
    def accuracy(self) -> float:
        """Share of the asked questions that were answered rightly; NaN of none."""
        return float(self.is_right.mean()) if len(self.is_right) else float("nan")


def read_questions(path: PathLike) -> list[Section]:
    """Reads a file in the form of word2vec's questions-words.txt.

    Raises: FileNotFoundError: no such file. ValueError: a line that is neither
        ": name" nor four words.
    """
    sections: list[tuple[str, list[tuple[str, str, str, str]]]] = []
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected analogy questions")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith(":"):
            sections.append((line[1:].strip(), []))
        elif line.strip():
            match line.split():
                case [a, b, c, d] if sections:
                    sections[-1][1].append((a, b, c, d))
                case _:
                    raise ValueError(
                        f"{path}:{number}: {line.strip()!r}; expected four words, "
                        'below a line of the form ": name"'
                    )
    return [Section(name, tuple(questions)) for name, questions in sections]


def answer(
    vectors: WordVectors, sections: Iterable[Section], *, most: int | None = 30_000
) -> list[Answers]:
    """Answers analogies by the word nearest to b - a + c, of unit vectors.

    Words count without regard to case; a, b and c are no answers; a question with a
    word beyond the first `most` is not asked.

    Args:
        vectors: words, the commonest first.
        sections: the questions.
        most: how many words can be asked and answered; None stands for all.
    References: word2vec's compute-accuracy.c, whose protocol this is (3CosAdd); Mikolov
        et al., "Efficient estimation of word representations in vector space", 2013.
    """
    known = vectors.cut(most) if most is not None else vectors
    index: dict[str, int] = {}
    for i, word in enumerate(known.words):
        index.setdefault(word.upper(), i)
    return [_answered(known.unit, index, section) for section in sections]


def accuracy(found: Sequence[Answers]) -> float:
    """Share of all asked questions that were answered rightly; NaN of none."""
    right = np.concatenate([each.is_right for each in found] or [np.zeros(0, bool)])
    return float(right.mean()) if len(right) else float("nan")


def _answered(unit, index, section):
    places = np.array(
        [[index.get(word.upper(), -1) for word in q] for q in section.questions], int
    ).reshape(-1, 4)
    asked = np.flatnonzero((places >= 0).all(axis=1))
    a, b, c, d = places[asked].T
    answers = np.zeros(len(asked), int)
    for at in range(0, len(asked), _TILE):
        cut = slice(at, at + _TILE)
        aims = unit[b[cut]] - unit[a[cut]] + unit[c[cut]]
        cosines = aims @ unit.T
        each = np.arange(len(aims))
        for given in (a, b, c):
            cosines[each, given[cut]] = -np.inf
        answers[cut] = cosines.argmax(axis=1)
    return Answers(section, asked, answers, answers == d)
