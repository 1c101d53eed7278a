"""Augmentations beside what they mean, over many keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.train import augment

IMAGE = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (6, 5, 2)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 400)


def drawn(augment_fn):
    return np.asarray(jax.jit(jax.vmap(augment_fn, (0, None)))(KEYS, IMAGE))


def test_crops_are_all_windows_of_the_padded_image():
    padded = np.pad(np.asarray(IMAGE), ((2, 2), (2, 2), (0, 0)))
    windows = {
        padded[i : i + 6, j : j + 5].tobytes() for i in range(5) for j in range(5)
    }
    assert {view.tobytes() for view in drawn(augment.random_crop(2))} == windows


def test_flips_are_mirror_images_half_of_the_time():
    views = drawn(augment.horizontal_flip)
    mirrored = (views == np.asarray(IMAGE)[:, ::-1]).all((1, 2, 3))
    kept = (views == np.asarray(IMAGE)).all((1, 2, 3))
    assert (mirrored ^ kept).all() and 0.4 < mirrored.mean() < 0.6


@pytest.mark.parametrize("size", [2, 3])
def test_cutout_zeroes_one_square_around_any_pixel(size):
    views, seen = drawn(augment.cutout(size)), set()
    expected = set()
    for row in range(6):
        for column in range(5):
            hole = np.zeros((6, 5), bool)
            top, left = row - size // 2, column - size // 2
            hole[max(top, 0) : top + size, max(left, 0) : left + size] = True
            expected.add(hole.tobytes())
    for view in views:
        hole = (view == 0).all(-1)
        np.testing.assert_array_equal(view[~hole], np.asarray(IMAGE)[~hole])
        seen.add(hole.tobytes())
    assert seen == expected


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_targets_are_mixed_as_the_pixels_are(name):
    example = augment.Soft(jnp.zeros((8, 8, 1)), jnp.array([1.0, 0.0, 0.0]))
    partner = augment.Soft(jnp.ones((8, 8, 1)), jnp.array([0.0, 0.25, 0.75]))
    mix = jax.jit(jax.vmap(getattr(augment, name)(1.0), (0, None, None)))
    images, targets = mix(KEYS, example, partner)
    share = np.asarray(images).mean((1, 2, 3))
    expected = np.stack([1 - share, 0.25 * share, 0.75 * share], 1)
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    assert share.std() > 0.15
    values = np.unique(np.asarray(images))
    assert (len(values) == 2) == (name == "cutmix")


def test_in_turn_draws_anew_for_each():
    both = augment.in_turn(augment.horizontal_flip, augment.horizontal_flip)
    kept = (drawn(both) == np.asarray(IMAGE)).all((1, 2, 3))
    assert 0.4 < kept.mean() < 0.6  # One key for both would always flip back.
