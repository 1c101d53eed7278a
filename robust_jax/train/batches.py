"""Batches of an epoch: their order, extra data at a fixed share, and augmentation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.streams import OfTraining
from robust_jax.core.types import Array, Key
from robust_jax.train.augment import Augment, Mixture, Soft
from robust_jax.train.data_loaders import Examples
from robust_jax.train.state import Batch


class Batching(NamedTuple):
    """How batches are made; static.

    >>> batching = rj.train.Batching(batch_size=32)
    >>> batching.steps_per_epoch(100)
    4
    """

    batch_size: int
    extra_share: float = 0.0  # of each batch, from the extra data, in [0, 1)
    replays: int = 1  # how often each batch is seen in a row
    augment: Augment | None = None
    mixture: Mixture | None = None
    num_classes: int = 0  # K of the mixture's targets

    def own(self) -> int:
        """How many examples of a batch are of the training set itself, >= 1."""
        return max(1, self.batch_size - round(self.extra_share * self.batch_size))

    def steps_per_epoch(self, n: int) -> int:
        """Steps in which each of n examples is seen at least once."""
        return -(-n // self.own()) * self.replays

    def order(self, key: Key, n: int, m: int = 0) -> Array:
        """Which examples each step of an epoch sees, shape [steps, batch_size].

        From n on, positions are those of the m examples of extra data. The last batch
        is filled up with the order's first examples: nothing is dropped.
        """
        order = epoch_order(key, n, self.own())
        if self.own() < self.batch_size and m:
            more = jax.random.permutation(jax.random.fold_in(key, OfTraining.EXTRA), m)
            more = jnp.resize(more, (order.shape[0], self.batch_size - self.own()))
            order = jnp.concatenate([order, n + more], axis=1)
        return jnp.repeat(order, self.replays, axis=0)

    def batch(self, loader: Examples, positions: Array, key: Key) -> Batch:
        """The examples at positions [B] of a row of `order`, augmented."""
        images, labels = loader.at(positions, self.own())
        if self.augment is not None:
            keys = _keys(key, OfTraining.AUGMENT, positions)
            images = jax.vmap(self.augment)(keys, images)
        batch = Batch(images, labels, positions)
        if self.mixture is None:
            return batch
        soft = Soft(images, jax.nn.one_hot(labels, self.num_classes))
        # The order is random: the neighbour is a random partner.
        partner = jax.tree.map(lambda a: jnp.roll(a, 1, axis=0), soft)
        mixed = jax.vmap(self.mixture)(
            _keys(key, OfTraining.MIX, positions), soft, partner
        )
        return batch._replace(images=mixed.image, targets=mixed.target)


def epoch_order(key: Key, n: int, batch_size: int) -> Array:
    """A random order of n examples, shape [ceil(n / batch_size), batch_size].

    The last batch is filled up with the order's first examples: nothing is dropped.
    """
    order = jax.random.permutation(key, n)
    return jnp.resize(order, (-(-n // batch_size), batch_size))


def _keys(key: Key, name: OfTraining, positions: Array) -> Key:
    key = jax.random.fold_in(key, name)
    return jax.vmap(lambda p: jax.random.fold_in(key, p))(positions)
