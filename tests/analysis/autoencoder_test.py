"""The sparse autoencoder learns pictures made of parts."""

import jax
import numpy as np
import pytest

from robust_jax import analysis


@pytest.fixture(scope="module")
def parts():
    """Images of 6x6 pixels, each of a few of twelve bars."""
    rng = np.random.default_rng(0)
    images = np.zeros((500, 6, 6, 1), np.float32)
    for image in images:
        image[rng.integers(0, 6)] = 1
        image[:, rng.integers(0, 6)] = 1
    return images


def error(net, images):
    flat = images.reshape(len(images), -1)
    return float(((net.image(net.code(flat)) - flat) ** 2).sum(axis=1).mean())


def test_it_gives_images_back_by_few_active_units(parts):
    net = analysis.sparse_autoencoder(
        parts, 30, jax.random.key(0), sparsity=0.1, weight=0.1, epochs=150, rate=1e-2
    )
    flat = parts.reshape(len(parts), -1)
    constant = float(((flat - flat.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert error(net, parts) < 0.15 * constant
    assert float(net.code(flat).mean()) == pytest.approx(0.1, abs=0.05)


def test_the_weight_makes_it_sparse(parts):
    flat, mean = parts.reshape(len(parts), -1), []
    for weight in (0.0, 3.0):
        net = analysis.sparse_autoencoder(
            parts, 30, jax.random.key(0), sparsity=0.05, weight=weight, epochs=60,
            rate=1e-2,
        )  # fmt: skip
        mean.append(float(net.code(flat).mean()))
    assert mean[1] < 0.08 < mean[0]


def test_bad_arguments(parts):
    with pytest.raises(ValueError, match=r"sparsity=1; expected a share in \(0, 1\)"):
        analysis.sparse_autoencoder(parts, 5, jax.random.key(0), sparsity=1)
    with pytest.raises(ValueError, match="weight=-1; expected"):
        analysis.sparse_autoencoder(parts, 5, jax.random.key(0), weight=-1)
    with pytest.raises(ValueError, match="99 images; expected at least 100"):
        analysis.sparse_autoencoder(parts[:99], 5, jax.random.key(0))
