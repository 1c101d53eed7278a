"""One update beside the sum over pairs that the papers write."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import words
from experiments.studies.words import sampling, updates

TOKENS = np.array([-1, -1, 0, 1, 2, 3, 1, 0, 4, 2, 3, 1, 0, 1, -1, -1], np.int32)
NUMBERS = np.array([-1, -1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, -1, -1], np.int32)
COUNTS = np.array([5, 4, 3, 2, 1])
SMALL = words.Settings(size=3, window=2, shared=5, group=4, groups=3, negatives=2)
KINDS = list(itertools.product(["skipgram", "cbow"], ["negative", "hierarchical"]))


def made(kind):
    settings = dataclasses.replace(SMALL, model=kind[0], objective=kind[1])
    drawn = sampling.drawn(COUNTS, settings)
    rng = np.random.default_rng(0)
    nodes = 4 if kind[1] == "hierarchical" else 5
    tables = updates.Tables(
        jnp.asarray(rng.normal(size=(5, 3)), jnp.float32),
        jnp.asarray(rng.normal(size=(nodes, 3)), jnp.float32),
    )
    used = updates.rows(
        jax.random.key(1), jnp.asarray(TOKENS), jnp.asarray(NUMBERS), drawn, settings
    )
    return settings, tables, used


def reaches(settings):
    key = jax.random.split(jax.random.key(1))[0]
    shape = (settings.groups, 1, settings.group)
    return np.asarray(jax.random.randint(key, shape, 1, settings.window + 1)).ravel()


def pairs_of(at, settings, used):
    """(output, answer, weight) that a place's words are shown."""
    if settings.objective == "negative":
        drawn = np.asarray(used.outputs[(at - 2) // settings.group, settings.group :])
        share = settings.negatives / settings.shared
        others = [(word, 0, share) for word in drawn if word != TOKENS[at]]
        return [(TOKENS[at], 1, 1.0), *others]
    nodes, turns, lengths = words.tree(COUNTS)
    word = TOKENS[at]
    return [(nodes[word, i], turns[word, i], 1.0) for i in range(lengths[word])]


def by_hand(tables, settings, used):
    """The gradients place by place, word by word, as word2vec's code sums them."""
    vectors, outputs = (np.asarray(t, float) for t in tables)
    by_vectors, by_outputs = np.zeros_like(vectors), np.zeros_like(outputs)
    for place, reach in enumerate(reaches(settings)):
        at = place + settings.window
        around = [
            TOKENS[i]
            for i in range(at - reach, at + reach + 1)
            if i != at and NUMBERS[i] == NUMBERS[at] and TOKENS[i] >= 0
        ]
        if TOKENS[at] < 0 or not around:
            continue
        is_mean = settings.model == "cbow"
        for group in [around] if is_mean else [[word] for word in around]:
            predictor = vectors[group].mean(axis=0)
            back = np.zeros(settings.size)
            for output, answer, weight in pairs_of(at, settings, used):
                likely = 1 / (1 + np.exp(-predictor @ outputs[output]))
                error = weight * (likely - answer)
                back += error * outputs[output]
                by_outputs[output] += error * predictor
            for word in group:
                by_vectors[word] += back
    return by_vectors, by_outputs


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_sum_over_pairs(kind):
    settings, tables, used = made(kind)
    moves = updates.gradients(tables, used)
    zeros = jax.tree.map(jnp.zeros_like, tables)
    expected = by_hand(tables, settings, used)
    for table, places, move, by_pairs in zip(
        zeros, (used.inputs, used.outputs), moves, expected, strict=True
    ):
        found = table.at[places].add(move)
        np.testing.assert_allclose(found, by_pairs, rtol=1e-5, atol=1e-5)


def test_words_are_drawn_by_their_law():
    weights = np.array([5.0, 0.0, 1.0, 3.0, 0.5, 0.5])
    table = sampling.alias_table(weights)
    odds = np.zeros(6)
    for place, (own, other) in enumerate(zip(*table, strict=True)):
        odds[place] += own / 6
        odds[other] += (1 - own) / 6
    np.testing.assert_allclose(odds, weights / weights.sum(), atol=1e-6)
