"""Features as few directions of a dictionary: a top-k sparse autoencoder (host)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.types import Array, Key

_BATCH = 256


class Dictionary(NamedTuple):
    """M directions of length one, and how much of each a feature vector has."""

    encoder: Array  # [D, M]
    code_bias: Array  # [M]
    atoms: Array  # [M, D]
    mean: Array  # [D], taken off first and added last
    active: int  # directions of one code at most

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    def code(self, x: Array) -> Array:
        """The few largest positive amounts, others zero: [*B, M] of [*B, D]."""
        amounts = (x - self.mean) @ self.encoder + self.code_bias
        least = _least_of_top(jax.lax.stop_gradient(amounts), self.active)
        return jnp.where((amounts >= least) & (amounts > 0), amounts, 0)

    def features(self, code: Array) -> Array:
        """What a code [*B, M] stands for, [*B, D]."""
        return code @ self.atoms + self.mean


class Fit(NamedTuple):
    """How well a dictionary tells features."""

    unexplained: float  # share of their variance
    active: float  # mean number of directions of a code
    dead: float  # share of directions that no code has


def train_dictionary(
    features: NDArray[np.floating],
    size: int,
    active: int,
    key: Key,
    *,
    steps: int = 3000,
    rate: float = 1e-3,
) -> Dictionary:
    """Learns a dictionary by Adam on the squared error.

    Args:
        features: shape [N, D].
        size: M, directions.
        active: K, of one code, at most M.
        key: of weights and batches.
        steps: batches of 256, drawn with replacement.
        rate: Adam's, > 0.
    Raises: ValueError: a number out of its range.
    References: Makhzani & Frey, "k-sparse autoencoders", ICLR 2014; Gao et al.,
        "Scaling and evaluating sparse autoencoders", 2024. Differs from the latter in:
        no auxiliary loss for dead directions; equal amounts count once.
    """
    for name, value in (("size", size), ("active", active), ("steps", steps)):
        checks.positive_integer(name, value)
    checks.positive_number("rate", rate)
    if active > size:
        raise ValueError(f"active={active} of size={size}; expected no more")
    x = jnp.asarray(features, jnp.float32)
    weights_key, batch_key = jax.random.split(key)
    atoms = _unit(jax.random.normal(weights_key, (size, x.shape[1])))
    spread = jnp.maximum(x.std(), 1e-12)
    made = Dictionary(atoms.T, jnp.zeros(size), atoms, x.mean(axis=0), active)
    update = optax.adam(rate)

    def loss(free, batch):
        now = made._replace(encoder=free[0], code_bias=free[1], atoms=free[2])
        error = now.features(now.code(batch)) - batch
        return jnp.sum((error / spread) ** 2, axis=1).mean()

    def step(carry, key):
        free, state = carry
        batch = x[jax.random.randint(key, (_BATCH,), 0, len(x))]
        changes, state = update.update(jax.grad(loss)(free, batch), state)
        encoder, bias, atoms = optax.apply_updates(free, changes)
        return ((encoder, bias, _unit(atoms)), state), None

    @jax.jit
    def run(free, keys):
        return jax.lax.scan(step, (free, update.init(free)), keys)[0][0]

    free = (made.encoder, made.code_bias, made.atoms)
    encoder, bias, atoms = run(free, jax.random.split(batch_key, steps))
    return made._replace(encoder=encoder, code_bias=bias, atoms=atoms)


def dictionary_fit(dictionary: Dictionary, features: NDArray[np.floating]) -> Fit:
    """How well a dictionary tells features, shape [N, D]."""
    x = jnp.asarray(features, jnp.float32)
    code = dictionary.code(x)
    rest = jnp.sum((dictionary.features(code) - x) ** 2)
    variance = jnp.sum((x - x.mean(axis=0)) ** 2)
    is_on = code > 0
    return Fit(
        float(rest / variance),
        float(is_on.sum(axis=1).mean()),
        float((~is_on.any(axis=0)).mean()),
    )


def max_cosines(
    truth: NDArray[np.floating], atoms: NDArray[np.floating]
) -> NDArray[np.float64]:
    """For each true direction [T, D] the largest |cosine| of an atom [M, D]: [T].

    Their mean is the mean maximum cosine similarity (MMCS).
    """
    truth, atoms = (np.asarray(_unit(jnp.asarray(v))) for v in (truth, atoms))
    return np.abs(truth @ atoms.T).max(axis=1).astype(np.float64)


def _least_of_top(amounts: Array, count: int) -> Array:
    """The count-th largest number of each row, equal ones counted once: [*B, 1].

    By taking the largest off, count - 1 times: 17 times as fast as XLA:CPU's sort, by
    which it selects, for 8 of 256.
    """

    def rest(_: int, left: Array) -> Array:
        largest = left.max(axis=-1, keepdims=True)
        return jnp.where(left >= largest, -jnp.inf, left)

    left = jax.lax.fori_loop(0, count - 1, rest, amounts)
    return left.max(axis=-1, keepdims=True)


def _unit(vectors: Array) -> Array:
    lengths = jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / jnp.maximum(lengths, 1e-12)
