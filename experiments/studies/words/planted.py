"""A made-up language whose analogies are known: for tests and first trials (host).

Words go in pairs: member r of pair p of family f. A sentence tells of one word: some of
its words belong to the pair and come with both members, some belong to the role (family
and member) and come with all pairs, the others are noise. So the difference between
the members of a pair is that between the roles.
"""

import itertools
from collections.abc import Callable

import numpy as np

from experiments.studies.words.analogies import Section
from experiments.studies.words.vocabulary import Sentences
from robust_jax.core import checks

_SHARES = (0.35, 0.65)  # Below: words of the pair, of the role; above: noise.
_OF_PAIR, _OF_ROLE, _NOISE = 8, 12, 60  # How many such words there are.


def planted_language(
    sentences: int = 60_000,
    *,
    families: int = 4,
    pairs: int = 30,
    length: int = 9,
    seed: int = 0,
) -> tuple[Callable[[], Sentences], list[Section]]:
    """The sentences of such a language, for `corpus`, and its analogies.

    Args:
        sentences: how many.
        families: of pairs; each gives a section.
        pairs: of a family, at least two.
        length: words of a sentence, at least two.
        seed: of the sentences.
    Raises: ValueError: a number below what is asked.
    """
    for name, value in (("sentences", sentences), ("families", families)):
        checks.positive_integer(name, value)
    for name, value in (("pairs", pairs), ("length", length)):
        if value < 2:
            raise ValueError(f"{name}={value}; expected at least 2")
    sections = [_section(family, pairs) for family in range(families)]

    def read() -> Sentences:
        rng = np.random.default_rng(seed)
        shape = (sentences, length - 1)
        noise = np.minimum(rng.zipf(1.3, shape), _NOISE) - 1
        kind, pick = rng.random(shape), rng.integers(0, 10**6, shape)
        tops = rng.integers(0, [families, pairs, 2], (sentences, 3))
        places = rng.integers(0, length, sentences)
        for top, place, *rows in zip(tops, places, kind, pick, noise, strict=True):
            words = [_other(*top, *draw) for draw in zip(*rows, strict=True)]
            yield [*words[:place], _word(*top), *words[place:]]

    return read, sections


def _section(family, pairs):
    both = [(_word(family, p, 0), _word(family, p, 1)) for p in range(pairs)]
    questions = [(*a, *b) for a, b in itertools.permutations(both, 2)]
    return Section(f"family{family}", tuple(questions))


def _word(family, pair, member):
    return f"w{family}-{pair}-{member}"


def _other(family, pair, member, kind, pick, noise):
    if kind < _SHARES[0]:
        return f"p{family}-{pair}-{pick % _OF_PAIR}"
    if kind < _SHARES[1]:
        return f"r{family}-{member}-{pick % _OF_ROLE}"
    return f"n{noise}"
