"""Texts as numbers: a vocabulary, and the places of a text in it (host)."""

import bz2
import collections
import dataclasses
import functools
import gzip
import itertools
import lzma
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.records import PathLike

_BLOCK = 1 << 22  # Characters read at once.
_LONGEST = 1 << 20  # Letters of a word; there is none, but in what is no text.
_OPENERS: dict[str, Callable[..., Any]] = {
    ".bz2": bz2.open,
    ".gz": gzip.open,
    ".xz": lzma.open,
}

Sentences = Iterable[list[str]]


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words that count, the commonest first."""

    words: tuple[str, ...]
    counts: NDArray[np.int64]  # [V], in the text

    def __len__(self) -> int:
        return len(self.words)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The place of each word."""
        return {word: i for i, word in enumerate(self.words)}


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text as places in a vocabulary; words that are not in it are left out."""

    vocabulary: Vocabulary
    tokens: NDArray[np.int32]  # [N]
    sentences: NDArray[np.int32]  # [N], the number of each token's sentence
    raw: int  # words of the text, those left out too

    def __len__(self) -> int:
        return len(self.tokens)


def corpus(
    sentences: Callable[[], Sentences], *, min_count: int = 5, most: int | None = None
) -> Corpus:
    """Counts the words of a text, then reads it once more as numbers.

    Words of equal count stand in the order of the alphabet.

    Args:
        sentences: gives the text's sentences, lists of words, at each call anew. A long
            one may come in several lists; see `text_file`.
        min_count: how often a word has to occur.
        most: how many words are kept at most, the commonest; None keeps all.
    Raises: ValueError: no word occurs so often; a count that is not positive.
    """
    checks.positive_integer("min_count", min_count)
    if most is not None:
        checks.positive_integer("most", most)
    counter: collections.Counter[str] = collections.Counter()
    for sentence in sentences():
        counter.update(sentence)
    often = [item for item in counter.items() if item[1] >= min_count]
    if not often:
        raise ValueError(
            f"min_count={min_count}: none of the {len(counter):,} words occurs so "
            "often; expected a longer text or a smaller count"
        )
    often = sorted(often, key=lambda item: (-item[1], item[0]))[:most]
    words, counts = zip(*often, strict=True)
    vocabulary = Vocabulary(words, np.asarray(counts, np.int64))
    tokens, numbers = _encoded(sentences(), vocabulary.index)
    return Corpus(vocabulary, tokens, numbers, counter.total())


class Piece(list[str]):
    """Words that go on with the sentence of the list before."""


def text_file(path: PathLike) -> Callable[[], Sentences]:
    """The sentences of a text file, for `corpus`: its lines, split at white space.

    White space is Unicode's, as `str.split` has it, and as gensim's LineSentence does.
    A line may be as long as the file, as in text8, and is read in pieces. Files that
    end in .gz, .bz2 or .xz are unpacked while they are read.

    Raises: FileNotFoundError: no such file.
    """
    checks.path("path", path)
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a text")
    return lambda: _lines(path)


def _lines(path: pathlib.Path) -> Iterator[list[str]]:
    opener = _OPENERS.get(path.suffix, open)
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            yield from _pieces(file)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path} cannot be read as a text ({error}); expected a whole file of "
            "words in UTF-8; fetch it again"
        ) from error


def _pieces(file: IO[str]) -> Iterator[list[str]]:
    kept, is_begun = "", False
    while block := file.read(_BLOCK):
        *whole, kept = (kept + block).split("\n")
        for line in whole:
            yield Piece(line.split()) if is_begun else line.split()
            is_begun = False
        if len(kept) >= _BLOCK:  # A long line: what is left may be half a word.
            *done, kept = [*kept.split(), *([""] if kept[-1].isspace() else [])]
            if len(kept) > _LONGEST:
                raise ValueError(f"a word of more than {_LONGEST:,} letters")
            yield Piece(done) if is_begun else done
            is_begun = True
    yield Piece(kept.split()) if is_begun else kept.split()


def _encoded(sentences, index):
    parts, numbers, number = [], [], -1
    for sentence in sentences:
        number += not isinstance(sentence, Piece)
        places = map(index.get, sentence, itertools.repeat(-1))
        found = np.fromiter(places, np.int32, len(sentence))
        parts.append(found[found >= 0])
        numbers.append(np.full(len(parts[-1]), number, np.int32))
    return np.concatenate(parts), np.concatenate(numbers)
