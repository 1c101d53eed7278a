"""One update of word vectors: which rows of the tables it moves, and how far.

The words of neighbouring places share most of their context, and here their drawn words
too, so that an update is a few small matrix products, and touches few rows: the
gradient of a whole table is never made.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.studies.words.settings import Settings
from robust_jax.core.types import Array, Key


class Tables(NamedTuple):
    """What is learnt."""

    vectors: Array  # [V, d], of the words
    outputs: Array  # [V, d], or [V - 1, d] for the nodes of the tree


class AliasTable(NamedTuple):
    """Draws words by weight in constant time (Walker)."""

    odds: Array  # [V], of a word against its alias
    aliases: Array  # [V]


class Paths(NamedTuple):
    """Huffman's tree on the device; see `huffman.Tree`."""

    nodes: Array
    turns: Array
    lengths: Array


class Rows(NamedTuple):
    """The rows of one update: g groups with P inputs, M predictors, O outputs."""

    inputs: Array  # [g, P], words
    mean: Array | None  # [g, M, P], weights of the inputs in each predictor
    spread: Array | None  # [g, P, M], of its gradient on its way back
    outputs: Array  # [g, O], words or nodes
    answers: Array  # [g, O], 1 or 0
    weights: Array  # [g, M, O]


def rows(
    key: Key,
    tokens: Array,
    sentences: Array,
    drawn: AliasTable | Paths,
    settings: Settings,
) -> Rows:
    """The rows of one update.

    Args:
        key: draws windows and words.
        tokens: groups * group places with `window` more on each side; -1 is none.
        sentences: their sentences, which windows do not leave.
        drawn: what the settings' objective asks for.
        settings: as `train` has them.
    """
    window_key, word_key = jax.random.split(key)
    reach, group = settings.window, settings.group
    first = jnp.arange(settings.groups)[:, None] * group
    places = first + jnp.arange(group + 2 * reach)
    around, numbers = tokens[places], sentences[places]
    at = slice(reach, reach + group)
    centres = around[:, at]
    near = _near(window_key, around, numbers, at, settings)
    if isinstance(drawn, Paths):
        outputs, answers, counts = _turns(centres, drawn)
    else:
        outputs, answers, counts = _words(word_key, centres, drawn, settings)
    mean = spread = None
    if settings.model == "cbow":
        total = near.sum(axis=1, keepdims=True)
        mean, spread = (near / jnp.maximum(total, 1)).swapaxes(1, 2), near
        weights = jnp.minimum(total, 1).swapaxes(1, 2) * counts
    else:
        weights = jnp.einsum("gpi,gio->gpo", near, counts)
    return Rows(jnp.maximum(around, 0), mean, spread, outputs, answers, weights)


def gradients(tables: Tables, used: Rows) -> tuple[Array, Array]:
    """The loss's gradients by the rows used: [g, P, d] and [g, O, d].

    The loss is the sum of weights * logistic loss. Of CBOW's mean each word gets the
    whole gradient, as in word2vec, and not its share.
    """
    given, outputs = tables.vectors[used.inputs], tables.outputs[used.outputs]
    predictors = given
    if used.mean is not None:
        predictors = jnp.einsum("gmp,gpd->gmd", used.mean, given)
    logits = jnp.einsum("gmd,god->gmo", predictors, outputs)
    errors = used.weights * (jax.nn.sigmoid(logits) - used.answers[:, None, :])
    back = jnp.einsum("gmo,god->gmd", errors, outputs)
    if used.spread is not None:
        back = jnp.einsum("gpm,gmd->gpd", used.spread, back)
    return back, jnp.einsum("gmo,gmd->god", errors, predictors)


def _near(key, around, numbers, at, settings):
    """1 where a place is in another's window, [g, P, group]."""
    size = (settings.groups, 1, settings.group)
    reach = jax.random.randint(key, size, 1, settings.window + 1)
    place = jnp.arange(around.shape[1])
    distance = jnp.abs(place[:, None] - place[None, at])
    is_near = (distance > 0) & (distance <= reach)
    is_near &= numbers[:, :, None] == numbers[:, None, at]
    is_word = (around[:, :, None] >= 0) & (around[:, None, at] >= 0)
    return (is_near & is_word).astype(jnp.float32)


def _words(key, centres, table, settings):
    """The true words, then drawn ones; a place does not count its own word if drawn."""
    groups, group = centres.shape
    shape = (groups, settings.shared)
    word_key, odds_key = jax.random.split(key)
    words = jax.random.randint(word_key, shape, 0, len(table.odds))
    is_kept = jax.random.uniform(odds_key, shape) < table.odds[words]
    words = jnp.where(is_kept, words, table.aliases[words])
    others = (words[:, None, :] != centres[:, :, None]) * (
        settings.negatives / settings.shared
    )
    own = jnp.broadcast_to(jnp.eye(group), (groups, group, group))
    outputs = jnp.concatenate([jnp.maximum(centres, 0), words], axis=1)
    answers = jnp.concatenate([jnp.ones(centres.shape), jnp.zeros(shape)], axis=1)
    return outputs, answers, jnp.concatenate([own, others], axis=2)


def _turns(centres, paths):
    """The nodes on each place's path; a place counts its own."""
    groups, group = centres.shape
    words = jnp.maximum(centres, 0)
    nodes, turns = paths.nodes[words], paths.turns[words]
    step = jnp.arange(nodes.shape[-1])
    is_on = (step < paths.lengths[words][..., None]).astype(jnp.float32)
    own = jnp.eye(group)[None, :, :, None] * is_on[:, None, :, :]
    flat = (groups, -1)
    return nodes.reshape(flat), turns.reshape(flat), own.reshape(groups, group, -1)
