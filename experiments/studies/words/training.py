"""Word vectors by word2vec's objectives, on batches drawn on the device."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.words import sampling
from experiments.studies.words.settings import Settings
from experiments.studies.words.updates import Tables, gradients, rows
from experiments.studies.words.vectors import WordVectors
from experiments.studies.words.vocabulary import Corpus
from robust_jax.core import checks

_UPDATES = 128  # Of one call.


class Trained(NamedTuple):
    """What training leaves."""

    vectors: WordVectors
    tables: Tables  # the same vectors, and the outputs'


def train(
    text: Corpus,
    settings: Settings | None = None,
    seed: int = 0,
    *,
    start: Tables | None = None,
    scaling: optax.GradientTransformation | None = None,
    on_progress: Callable[[int], Any] = lambda words: None,
) -> Trained:
    """Trains word vectors by stochastic gradient descent.

    Args:
        text: what is read.
        settings: model, objective and sizes; None stands for the defaults.
        seed: of the first vectors, of what is left out, of windows and drawn words.
        start: the tables at the start; None: vectors uniform within 1 / (2 d), outputs
            zero, as in word2vec.
        scaling: what is done to gradients before the rate, such as
            `optax.scale_by_adam()`. It makes each update touch the whole tables, which
            for a large vocabulary is far slower; None moves the rows looked up alone.
        on_progress: is told how many words of the text were read since the last time.
    Raises: ValueError: a text of fewer than two different words; a bad seed.
    References: Mikolov et al., "Efficient estimation of word representations in vector
        space", 2013; "Distributed representations of words and phrases and their
        compositionality", NeurIPS 2013; Ji et al., "Parallelizing word2vec in shared
        and distributed memory", 2016. Differs from the authors' code in: neighbouring
        places share drawn words, each with a smaller weight; an update waits for the
        `group * groups` places of its batch; a window is drawn uniformly and CBOW's
        words each get the whole gradient of the mean, as in their code, not in the
        paper.
    """
    settings = settings or Settings()
    size = len(text.vocabulary)
    if size < 2:
        raise ValueError(f"text has {size} different words; expected at least two")
    checks.seed(seed)
    key = jax.random.key(seed, impl="threefry2x32")
    first_key, text_key, draw_key = jax.random.split(key, 3)
    drawn = sampling.drawn(text.vocabulary.counts, settings)
    tables = _start(first_key, size, settings) if start is None else start
    tables = jax.tree.map(jnp.array, tables)  # A copy: updates overwrite it.
    state = scaling.init(tables) if scaling else ()
    call = _program(settings, scaling)
    total = settings.epochs
    for epoch in range(settings.epochs):
        stream = sampling.text_stream(
            jax.random.fold_in(text_key, epoch), text, settings, _UPDATES
        )
        updates = -(-stream.kept // settings.places)
        for number in range(0, updates, _UPDATES):
            done = (epoch + (number + np.arange(_UPDATES)) / updates) / total
            rates = _rates(done, settings)
            keys = jax.random.fold_in(draw_key, epoch)
            tables, state = call(
                tables, state, keys, number, rates, stream.tokens, stream.sentences,
                drawn,
            )  # fmt: skip
            jax.block_until_ready(tables)
            share = min(_UPDATES, updates - number) / updates
            on_progress(round(share * len(text)))
    matrix = np.asarray(tables.vectors)
    return Trained(WordVectors(text.vocabulary.words, matrix), tables)


def _rates(done, settings):
    first, final = settings.first_rate, settings.final_rate
    return (first + (final - first) * np.minimum(done, 1)).astype(np.float32)


def _start(key, size, settings):
    vectors = jax.random.uniform(key, (size, settings.size), minval=-0.5, maxval=0.5)
    nodes = size - 1 if settings.objective == "hierarchical" else size
    return Tables(vectors / settings.size, jnp.zeros((nodes, settings.size)))


@functools.lru_cache(maxsize=8)
def _program(settings, scaling):
    """A compiled run of `_UPDATES` updates."""

    def update(carry, given, stream, sentences, key, drawn):
        tables, state = carry
        number, rate = given
        width = settings.places + 2 * settings.window
        at = number * settings.places
        near, numbers = (
            jax.lax.dynamic_slice(s, (at,), (width,)) for s in (stream, sentences)
        )
        key = jax.random.fold_in(key, number)
        used = rows(key, near, numbers, drawn, settings)
        places, moves = (
            (used.inputs, used.outputs),
            gradients(tables, used),
        )
        if scaling:
            zeros = jax.tree.map(jnp.zeros_like, tables)
            whole = Tables(*map(_added, zeros, places, moves))
            whole, state = scaling.update(whole, state, tables)
            return (jax.tree.map(lambda t, w: t - rate * w, tables, whole), state), None
        moves = jax.tree.map(lambda move: -rate * move, moves)
        return (Tables(*map(_added, tables, places, moves)), state), None

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def call(tables, state, key, first, rates, stream, sentences, drawn):
        numbers = first + jnp.arange(_UPDATES)
        step = functools.partial(
            update, stream=stream, sentences=sentences, key=key, drawn=drawn
        )
        return jax.lax.scan(step, (tables, state), (numbers, rates))[0]

    return call


def _added(table, places, moves):
    return table.at[places].add(moves)
