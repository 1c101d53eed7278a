"""Fresh answers of a randomised model."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import lift
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Key
from robust_jax.evaluate.audit.subject import Bench


def votes(
    bench: Bench, rows: np.ndarray, points: np.ndarray, samples: int
) -> np.ndarray:
    """Whether a randomised model is right at given points, for fresh keys.

    Args:
        bench: its subject's model takes (x, key), too.
        rows: examples of the subject, shape [M].
        points: one for each of them, shape [M, *S].
        samples: fresh keys per point, >= 1.
    Returns: bool [M, samples]; a tie and logits that are not finite are wrong.
    """
    data = np.asarray(jax.random.key_data(bench.keys_of(rows)))
    labels = bench.subject.labels[rows]
    return bench.map(_voter(samples), data, points, labels, forwards=samples)


@memoised
def _voter(samples: int) -> Callable[..., Array]:
    def vote(model: Any, data: Array, x: Array, label: Array) -> Array:
        def is_right(key: Key) -> Array:
            logits = model(x, key)
            others = jnp.where(jnp.arange(logits.shape[0]) == label, -jnp.inf, logits)
            leads = logits[label] > jnp.max(others)
            return leads & jnp.all(jnp.isfinite(logits))

        key = lift.keys_from(data)
        return jax.vmap(is_right)(jax.random.split(key, samples))

    return vote
