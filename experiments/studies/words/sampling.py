"""What training draws: the words of the text that stay, and those set against them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from experiments.studies.words import huffman
from experiments.studies.words.settings import Settings
from experiments.studies.words.updates import AliasTable, Paths
from experiments.studies.words.vocabulary import Corpus
from robust_jax.core.types import Array, Key

_POWER = 0.75  # Of the counts, as weights of drawn words.


class Stream(NamedTuple):
    """Tokens and the numbers of their sentences; so many of them were kept."""

    tokens: Array
    sentences: Array
    kept: int


def text_stream(key: Key, text: Corpus, settings: Settings, updates: int) -> Stream:
    """The text less some of its frequent words, with room at both ends.

    Behind it there is room for so many updates.
    """
    shares = keep_odds(text.vocabulary.counts, settings.sample).astype(np.float32)
    odds = jnp.asarray(shares)[text.tokens]
    is_kept = np.asarray(jax.random.uniform(key, odds.shape) < odds)
    kept = int(is_kept.sum())
    after = settings.window + updates * settings.places
    size = settings.window + len(text) + after  # The same each time: one program.

    def placed(values: NDArray[np.int32]) -> Array:
        stream = np.full(size, -1, np.int32)
        stream[settings.window : settings.window + kept] = values[is_kept]
        return jnp.asarray(stream)

    return Stream(placed(text.tokens), placed(text.sentences), kept)


def keep_odds(counts: NDArray[np.integer], sample: float) -> NDArray[np.float64]:
    """How likely a word is kept, [V]: sqrt(t / f) + t / f of its share f, at most 1.

    The formula is that of word2vec's code; the paper's has no second term.

    References: Mikolov et al., NeurIPS 2013. Differs from it in: the formula is that of
        their code, not of the paper, which has no second term.
    """
    if not sample:
        return np.ones(len(counts))
    ratio = sample * counts.sum() / counts
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)


def drawn(counts: NDArray[np.integer], settings: Settings) -> Paths | AliasTable:
    """What the true words are set against: turns in Huffman's tree, or drawn words."""
    if settings.objective == "hierarchical":
        return Paths(*map(jnp.asarray, huffman.tree(counts)))
    return alias_table(np.asarray(counts, float) ** _POWER)


def alias_table(weights: NDArray[np.floating]) -> AliasTable:
    """Walker's table for draws by weight, by Vose's algorithm."""
    size = len(weights)
    odds = weights * (size / weights.sum())
    other = np.arange(size)
    small = list(np.flatnonzero(odds < 1))
    large = list(np.flatnonzero(odds >= 1))
    while small and large:
        low, high = small.pop(), large[-1]
        other[low] = high
        odds[high] -= 1 - odds[low]
        if odds[high] < 1:
            small.append(large.pop())
    odds[[*small, *large]] = 1.0  # What rounding has left over.
    return AliasTable(jnp.asarray(odds, jnp.float32), jnp.asarray(other, jnp.int32))
