"""Top images and purities of planted features; comparisons beside SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from robust_jax import analysis

N, K = 300, 5


@pytest.fixture(scope="module")
def planted():
    """Images whose first pixels are a noisy one-hot code of their class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, N)
    codes = np.eye(K)[labels] + 0.1 * rng.normal(size=(N, K))
    images = np.concatenate([codes, rng.normal(size=(N, 3))], axis=1)
    return images.reshape(N, 2, 4, 1).astype(np.float32), labels


def code(images):
    return 3 * images.reshape(len(images), -1)[:, :K]


def test_the_furthest_images_are_found_in_order(planted):
    images, _ = planted
    directions = np.array([[1.0, 0, 0, 0, 0], [0, -1, 1, 0, 0]])
    top = analysis.top_inputs(code, images, directions, 4)
    scores = 3 * images.reshape(N, -1)[:, :K].astype(np.float64) @ directions.T
    for row in range(2):
        order = np.argsort(-scores[:, row])[:4]
        np.testing.assert_array_equal(top.indices[row], order)
        np.testing.assert_allclose(top.values[row], scores[order, row], rtol=1e-5)


def test_units_are_the_directions_of_the_axes(planted):
    units = analysis.top_inputs(code, planted[0], None, 6)
    axes = analysis.top_inputs(code, planted[0], np.eye(K), 6)
    np.testing.assert_array_equal(units.indices, axes.indices)


def test_equal_values_come_in_the_images_order():
    images = np.zeros((600, 1), np.float32)  # More than one tile.
    images[[3, 500]] = 1
    top = analysis.top_inputs(lambda x: x, images, None, 4)
    np.testing.assert_array_equal(top.indices, [[3, 500, 0, 1]])


def test_features_are_flat_and_of_all_images():
    images = np.arange(2 * 2 * 700, dtype=np.float32).reshape(700, 2, 2)
    found = analysis.features(lambda x: 2 * x, images, tile=256)
    np.testing.assert_array_equal(found, 2 * images.reshape(700, 4))


def test_random_directions_are_uniform_unit_vectors():
    v = np.asarray(analysis.random_directions(jax.random.key(0), 4000, 3))
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-6)
    for axis in range(3):  # On a sphere each coordinate is uniform (Archimedes).
        assert stats.kstest(v[:, axis], stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_purity_and_entropy_of_known_classes():
    labels = np.array([0, 0, 0, 1, 2, 2])
    indices = np.array([[0, 1, 2, 2], [0, 3, 4, 5], [0, 1, 3, 3]], np.int32)
    top = analysis.TopInputs(indices, np.zeros((3, 4), np.float32))
    np.testing.assert_allclose(analysis.purity(labels, top, 3), [1, 0.5, 0.5])
    np.testing.assert_allclose(analysis.entropy(labels, top, 3), [0, 1.5, 1])


def test_a_privileged_basis_is_seen_and_a_rotated_one_is_not(planted):
    images, labels = planted
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(K, K)))[0]

    def purities(features_fn, directions):
        top = analysis.top_inputs(features_fn, images, directions, 16)
        return analysis.purity(labels, top, K)

    v = analysis.random_directions(jax.random.key(1), 400, K)
    units = purities(code, np.concatenate([np.eye(K)] * 4))
    told = analysis.compare(units, purities(code, v))
    assert told.first == 1 and told.auc_interval[0] > 0.5 and told.p < 0.05
    assert told.is_no_lower(0.0) and not told.is_equivalent(0.05)

    def turned(x):
        return code(x) @ jnp.asarray(rotation, jnp.float32)

    many = analysis.random_directions(jax.random.key(2), 400, K)
    same = analysis.compare(purities(turned, v), purities(code, many))
    assert same.is_equivalent(0.05) and 0.4 < same.auc < 0.6


def test_a_comparison_has_scipys_numbers():
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 5, 40), rng.integers(0, 6, 60)
    told = analysis.compare(first, second)
    expected = stats.mannwhitneyu(first, second)
    assert told.auc == pytest.approx(expected.statistic / (40 * 60))
    assert told.p == pytest.approx(expected.pvalue)
    assert told.auc_interval[0] < told.auc < told.auc_interval[1]
    low, high = told.difference_interval
    assert low < told.first - told.second < high
    spread = np.hypot(first.std() / 40**0.5, second.std() / 60**0.5)
    assert (high - low) == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert told == analysis.compare(first, second)


@pytest.mark.parametrize(
    ("directions", "k", "words"),
    [
        (None, N + 1, f"k={N + 1} of {N} images"),
        (None, 0, "k=0; expected an integer >= 1"),
        (np.ones((2, 4)), 3, r"directions.shape=\(2, 4\); expected \[M, 5\]"),
    ],
)
def test_bad_arguments_are_refused(planted, directions, k, words):
    with pytest.raises(ValueError, match=words):
        analysis.top_inputs(code, planted[0], directions, k)


def test_one_value_is_no_sample():
    with pytest.raises(ValueError, match="second has 1 values; expected at least two"):
        analysis.compare(np.zeros(3), np.zeros(1))
