"""A sparse autoencoder of images, whose code a linear classifier may read (host)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.types import Array, Key

_BATCH = 100


class Autoencoder(NamedTuple):
    """Weights of code = sigmoid(x @ encoder + code_bias), and of the way back."""

    encoder: Array  # [n, H]
    code_bias: Array  # [H]
    decoder: Array  # [H, n]
    image_bias: Array  # [n]

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    def code(self, x: Array) -> Array:
        """The activity of the hidden units in [0, 1], shape [*B, H], of [*B, n]."""
        return nn.sigmoid(x @ self.encoder + self.code_bias)

    def image(self, code: Array) -> Array:
        """Pixels in [0, 1], shape [*B, n], of a code [*B, H]."""
        return nn.sigmoid(code @ self.decoder + self.image_bias)


def sparse_autoencoder(
    images: NDArray[np.floating],
    hidden: int,
    key: Key,
    *,
    sparsity: float = 0.1,
    weight: float = 0.1,
    decay: float = 1e-6,
    epochs: int = 20,
    rate: float = 1e-3,
) -> Autoencoder:
    """Trains an autoencoder of one hidden layer whose units are seldom active.

    Minimises half the squared error of an image, plus `weight` times the divergence
    of every unit's mean activity in the batch from `sparsity`, plus decay / 2 times
    the squared weights, by Adam on batches of 100.

    Args:
        images: pixels in [0, 1], shape [N, *S], N >= 100.
        hidden: units, H.
        key: of weights and order.
        sparsity: mean activity that is aimed at, in (0, 1).
        weight: of the divergence, >= 0.
        decay: of the weights, >= 0.
        epochs: passes over the images; the few that do not fill a batch sit out one.
        rate: Adam's, > 0.
    Raises: ValueError: an argument out of its range.
    References: Ng, "Sparse autoencoder", CS294A lecture notes, 2011. Szegedy et al.,
        "Intriguing properties of neural networks", ICLR 2014, Table 1, has such a code
        of 400 units but not its sparsity; ours is a choice.
    """
    checks.positive_integer("hidden", hidden)
    checks.positive_integer("epochs", epochs)
    checks.positive_number("rate", rate)
    checks.non_negative_number("weight", weight)
    checks.non_negative_number("decay", decay)
    checks.holds("sparsity", sparsity, lambda v: 0 < v < 1, "a share in (0, 1)")
    if len(images) < _BATCH:
        raise ValueError(f"{len(images)} images; expected at least {_BATCH}")
    flat = jnp.asarray(np.reshape(images, (len(images), -1)), jnp.float32)
    weights_key, order_key = jax.random.split(key)
    net = _initial(weights_key, flat.shape[1], hidden)
    update = optax.adam(rate)

    def loss(net: Autoencoder, batch: Array) -> Array:
        code = net.code(batch)
        error = 0.5 * jnp.sum((net.image(code) - batch) ** 2, axis=1).mean()
        squares = jnp.sum(net.encoder**2) + jnp.sum(net.decoder**2)
        rare = _divergence(sparsity, code.mean(axis=0)).sum()
        return error + weight * rare + 0.5 * decay * squares

    @jax.jit
    def epoch(net, state, key):
        def step(carry, index):
            net, state = carry
            changes, state = update.update(jax.grad(loss)(net, flat[index]), state)
            return (optax.apply_updates(net, changes), state), None

        order = jax.random.permutation(key, len(flat))
        rows = order[: len(flat) // _BATCH * _BATCH].reshape(-1, _BATCH)
        (net, state), _ = jax.lax.scan(step, (net, state), rows)
        return net, state

    state = update.init(net)
    for each in jax.random.split(order_key, epochs):
        net, state = epoch(net, state, each)
    return net


def _initial(key: Key, n: int, hidden: int) -> Autoencoder:
    down, up = jax.random.split(key)
    init = nn.initializers.glorot_uniform()
    return Autoencoder(
        init(down, (n, hidden)), jnp.zeros(hidden), init(up, (hidden, n)), jnp.zeros(n)
    )


def _divergence(aim: float, mean: Array) -> Array:
    """Kullback-Leibler divergence of Bernoulli variables."""
    mean = jnp.clip(mean, 1e-6, 1 - 1e-6)
    rest = (1 - aim) * jnp.log((1 - aim) / (1 - mean))
    return aim * jnp.log(aim / mean) + rest
