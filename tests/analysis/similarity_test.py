"""CKA on planted layers: rotations, independent noise, shared directions."""

import itertools

import numpy as np
import pytest

from robust_jax import analysis

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 20)) * np.linspace(0.5, 3, 20)


@pytest.mark.parametrize("debiased", [False, True])
def test_a_rotated_shifted_scaled_layer_is_the_same(debiased):
    turn, _ = np.linalg.qr(RNG.normal(size=(20, 20)))
    same = analysis.cka(X, 3 * X @ turn + 7, debiased=debiased)
    assert same == pytest.approx(1, abs=1e-9)


def test_any_other_linear_map_is_not():
    assert analysis.cka(X, X * np.linspace(5, 0, 20)) < 0.9


def test_it_is_the_alignment_of_centred_gram_matrices():
    y = X[:, :5] + RNG.normal(size=(400, 5))
    n = len(X)
    centre = np.eye(n) - 1 / n
    k, m = (centre @ f @ f.T @ centre for f in (X, y))
    expected = np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))
    assert analysis.cka(X, y) == pytest.approx(expected)
    wide = analysis.cka(X[:10], y[:10])  # More features than images.
    first, second = X[:10] - X[:10].mean(axis=0), y[:10] - y[:10].mean(axis=0)
    cross = np.sum((first.T @ second) ** 2)
    own = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    assert wide == pytest.approx(cross / own)


def test_debiased_is_zero_on_average_for_independent_layers():
    pairs = RNG.normal(size=(60, 2, 30, 40))
    plain = [analysis.cka(a, b) for a, b in pairs]
    fair = [analysis.cka(a, b, debiased=True) for a, b in pairs]
    assert np.mean(plain) > 0.4 and abs(np.mean(fair)) < 0.03


def test_debiased_is_the_mean_over_all_four_different_images():
    x, y = RNG.normal(size=(2, 6, 3))

    def inner(x, y):
        k, m = x @ x.T, y @ y.T
        terms = [
            k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
            for i, j, q, r in itertools.permutations(range(6), 4)
        ]
        return np.mean(terms)

    y = y + 2 * x
    expected = inner(x, y) / np.sqrt(inner(x, x) * inner(y, y))
    assert analysis.cka(x, y, debiased=True) == pytest.approx(expected)


def test_a_constant_layer_is_like_none():
    assert analysis.cka(X, np.ones((400, 3))) == 0


def test_layers_of_other_images():
    with pytest.raises(ValueError, match="400 and 399 images; expected the same"):
        analysis.cka(X, X[1:])
    with pytest.raises(ValueError, match="at least 4"):
        analysis.cka(X[:3], X[:3], debiased=True)
