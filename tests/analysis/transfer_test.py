"""Transfer along a planted direction, and none across it."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis

N = 300


def linear(direction):
    """A net of two classes: which side of a plane through grey."""
    weights = np.asarray(direction, np.float32)
    weights = weights / np.linalg.norm(weights)

    def logits_fn(x):
        score = (x.reshape(-1) - 0.5) @ weights
        return jnp.stack([-score, score])

    return logits_fn, weights


@pytest.fixture(scope="module")
def problem():
    """Nets a and b look along almost the same line, c across; images right for all."""
    shared, other = np.array([1.0, 1, 0, 0]), np.array([0.0, 0, 1, -1])
    nets = {
        "a": linear(shared),
        "b": linear(shared + np.array([0.05, -0.05, 0, 0])),
        "c": linear(other),
    }
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    signs = 2.0 * labels - 1
    along = sum(nets[name][1] for name in "ac")
    images = 0.5 + 0.1 * signs[:, None] * along + 0.01 * rng.normal(size=(N, 4))
    return nets, images.reshape(N, 2, 2, 1).astype(np.float32), labels


def crossing(nets):
    """An attack that knows the nets' weights: just across the plane."""
    by_function = {id(logits_fn): weights for logits_fn, weights in nets.values()}

    def craft(logits_fn, images, labels):
        weights = by_function[id(logits_fn)]
        flat = images.reshape(len(images), -1)
        score = (flat - 0.5) @ weights
        moved = flat - 1.3 * score[:, None] * weights
        return moved.reshape(images.shape).astype(np.float32)

    return craft


def test_errors_follow_the_planted_directions(problem):
    nets, images, labels = problem
    sources = {name: logits_fn for name, (logits_fn, _) in nets.items()}
    found = analysis.transfer_matrix(
        sources,
        {"crossing": crossing(nets), "none": lambda net, images, labels: images},
        images,
        labels,
        targets={"grey": lambda images: np.zeros(len(images), int)},
        noise=(0.02,),
    )
    assert found.targets == ("a", "b", "c", "grey")
    assert [(row.source, row.attack) for row in found.rows] == [
        ("a", "crossing"),
        ("a", "none"),
        ("b", "crossing"),
        ("b", "none"),
        ("c", "crossing"),
        ("c", "none"),
        ("", "noise 0.02"),
    ]
    raw = [[p.value for p in row] for row in found.matrix(common=False)]
    ones = labels.mean()
    assert raw[0] == [1, 1, 0, ones] and raw[2] == [1, 1, 0, ones]
    assert raw[4] == [0, 0, 1, ones] and raw[1] == [0, 0, 0, ones]
    assert all(rate < 0.05 for rate in raw[-1][:3])
    common = found.matrix()
    assert common[0][0].n == (labels == 0).sum()  # Grey reads these alone.
    assert [p.value for p in common[0]] == [1, 1, 0, 0]
    assert found.rows[1].distortion == 0
    assert found.rows[-1].distortion == pytest.approx(0.02, rel=0.1)


def test_no_common_image_is_said(problem):
    nets, images, labels = problem
    found = analysis.transfer_matrix(
        {"a": nets["a"][0]},
        {"none": lambda net, images, labels: images},
        images,
        labels,
        targets={"never": lambda images: np.full(len(images), 7)},
    )
    with pytest.raises(ValueError, match="no image is read right by all"):
        found.matrix()


def test_an_attack_of_another_shape_is_refused(problem):
    nets, images, labels = problem
    attacks = {"half": lambda net, images, labels: images[:, :1]}
    with pytest.raises(ValueError, match=r"'half' gave images of shape \(300, 1, 2, 1"):
        analysis.transfer_matrix({"a": nets["a"][0]}, attacks, images, labels)


def test_distortion_is_a_root_mean_square_per_image():
    images = np.zeros((2, 2, 2, 1))
    shown = images.copy()
    shown[0, 0, 0, 0], shown[1] = 0.4, 0.3
    assert analysis.distortion(shown, images) == pytest.approx((0.2 + 0.3) / 2)


def test_changes_are_amplified_to_one_size_and_cut():
    rng = np.random.default_rng(0)
    images = np.full((3, 4, 4, 1), 0.5)
    shown = images + 0.01 * rng.normal(size=images.shape)
    shown[2] = images[2]
    found = analysis.amplified(shown, images, 0.1)
    change = (found - images).reshape(3, -1)
    rms = np.sqrt((change**2).mean(axis=1))
    np.testing.assert_allclose(rms, [0.1, 0.1, 0], rtol=1e-5)
    before = (shown - images).reshape(3, -1)
    np.testing.assert_allclose(
        change[0] / 0.1, before[0] / np.sqrt((before[0] ** 2).mean()), rtol=1e-4
    )
    assert analysis.amplified(shown, images, 9).max() == 1


@pytest.mark.parametrize("size", [0.0, 0.1, 0.3])
def test_noise_of_a_size_has_it_in_the_box(size):
    rng = np.random.default_rng(0)
    images = (rng.uniform(size=(20, 8, 8, 1)) < 0.3).astype(np.float32)
    shown = analysis.noise_of_size(images, size, rng)
    assert shown.min() >= 0 and shown.max() <= 1
    change = np.sqrt(((shown.astype(float) - images) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(change, size, atol=1e-6)


def test_noise_too_large_for_the_box():
    with pytest.raises(ValueError, match=r"size=0\.4; expected from 0 to 0\.3"):
        analysis.noise_of_size(np.zeros((1, 2, 2, 1)), 0.4, np.random.default_rng(0))
