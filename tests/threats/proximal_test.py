"""Proximal operators beside 60,000 rivals each."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.threats import L0, L1, L2, Linf


@pytest.mark.parametrize(
    ("shrink", "size"),
    [
        (Linf(1.0).proximal, lambda v: np.abs(v).max(-1)),
        (L2(1.0).proximal, lambda v: np.linalg.norm(v, axis=-1)),
        (L1(1.0).proximal, lambda v: np.abs(v).sum(-1)),
        (L0(1.0).proximal, lambda v: (np.abs(v) ** (2 / 3)).sum(-1)),
    ],
    ids=["linf", "l2", "l1", "two thirds"],
)
def test_proximal_operators_minimise_what_they_should(shrink, size):
    rng = np.random.default_rng(0)
    for weight in (0.01, 0.3, 2.0):
        v = rng.normal(size=6).astype(np.float32)
        best = np.asarray(shrink(jnp.asarray(v), jnp.float32(weight)), np.float64)
        value = lambda z: ((z - v) ** 2).sum(-1) / 2 + weight * size(z)  # noqa: B023, E731
        near = best + rng.normal(size=(20_000, 6)) * rng.choice(
            [1e-3, 0.03, 1], (20_000, 1)
        )
        kept = np.where(rng.random((20_000, 6)) < 0.5, near, best)
        rivals = np.concatenate([near, kept, np.where(best == 0, 0, near), [0 * v, v]])
        assert value(best) <= value(rivals).min() + 1e-6
