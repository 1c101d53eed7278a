"""Training on a made-up language, whose analogies are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.studies import words
from robust_jax import analysis

pytestmark = pytest.mark.xdist_group("words")
SETTINGS = words.Settings(size=24, epochs=4, sample=0.0, rate=0.05)


@pytest.fixture(scope="module")
def language():
    read, sections = words.planted_language(10_000, families=2, pairs=8)
    return words.corpus(read), sections


@pytest.mark.parametrize(
    ("model", "objective", "rate"),
    [
        ("skipgram", "negative", 0.05),
        ("cbow", "negative", 0.1),
        ("skipgram", "hierarchical", 0.05),
        ("cbow", "hierarchical", 0.1),
    ],
)
def test_planted_analogies_are_learnt(language, model, objective, rate):
    text, sections = language
    settings = dataclasses.replace(
        SETTINGS, model=model, objective=objective, rate=rate
    )
    read = []
    done = words.train(text, settings, on_progress=read.append)
    assert words.accuracy(words.answer(done.vectors, sections)) >= 0.9
    assert sum(read) == pytest.approx(settings.epochs * len(text), abs=len(read))


def test_untrained_vectors_know_nothing(language):
    text, sections = language
    settings = dataclasses.replace(SETTINGS, epochs=1, rate=0.0, final_rate=0.0)
    done = words.train(text, settings)
    assert words.accuracy(words.answer(done.vectors, sections)) < 0.2
    assert np.abs(done.vectors.matrix).max() <= 0.5 / settings.size


def test_seeds_repeat_and_differ(language):
    text, _ = language
    short = dataclasses.replace(SETTINGS, epochs=1, sample=1e-3)
    first, again, other = (words.train(text, short, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.vectors.matrix, again.vectors.matrix)
    assert np.abs(first.vectors.matrix - other.vectors.matrix).max() > 0.1


@pytest.mark.parametrize(
    ("scaling", "rate", "low", "high"),
    [(None, 0.025, 0.0, 1e-4), (optax.scale_by_adam(), 1e-3, 1e-2, 1.0)],
)
def test_sgd_does_not_see_the_axes_and_adam_does(language, scaling, rate, low, high):
    text, _ = language
    settings = dataclasses.replace(SETTINGS, epochs=1, rate=rate)
    rng = np.random.default_rng(0)
    size = (2, len(text.vocabulary), settings.size)
    tables = rng.normal(size=size).astype(np.float32) / settings.size
    rotation = analysis.random_rotation(settings.size, 0).astype(np.float32)
    products = []
    for start in (tables, tables @ rotation):
        begin = words.Tables(*map(jnp.asarray, start))
        done = words.train(text, settings, start=begin, scaling=scaling).vectors
        products.append(done.matrix @ done.matrix.T)
    change = np.linalg.norm(products[1] - products[0]) / np.linalg.norm(products[0])
    assert low <= change <= high


def test_a_start_is_not_overwritten(language):
    text, _ = language
    size = (len(text.vocabulary), SETTINGS.size)
    start = words.Tables(jnp.ones(size), jnp.ones(size))
    words.train(text, dataclasses.replace(SETTINGS, epochs=1), start=start)
    jax.block_until_ready(start)
    assert (np.asarray(start.vectors) == 1).all()


def test_frequent_words_are_often_left_out():
    counts = np.array([900, 90, 9, 1])
    odds = words.keep_odds(counts, 1e-2)
    np.testing.assert_allclose(odds[0], (10 / 900) ** 0.5 + 10 / 900)
    np.testing.assert_array_equal(odds[2:], 1.0)
    np.testing.assert_array_equal(words.keep_odds(counts, 0.0), 1.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "glove"}, "cbow, skipgram"),
        ({"objective": "softmax"}, "hierarchical, negative"),
        ({"size": 0}, "size=0"),
        ({"window": 0}, "window=0"),
        ({"groups": 0}, "groups=0"),
        ({"rate": 1e-5}, "final_rate=0.0001; expected 0 <= final_rate <= rate"),
        ({"sample": 1.0}, "sample=1.0; expected 0 <= sample < 1"),
    ],
)
def test_settings_that_cannot_be(options, told):
    with pytest.raises(ValueError, match=told):
        words.Settings(**options)


def test_a_text_of_one_word():
    text = words.corpus(lambda: [["a"] * 9])
    with pytest.raises(ValueError, match="text has 1 different words"):
        words.train(text)
