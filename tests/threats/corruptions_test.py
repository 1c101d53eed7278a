"""Common corruptions beside what they are defined to be."""

import colorsys
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from robust_jax.threats import (
    corruption_blur,
    corruption_digital,
    corruption_noise,
    corruptions,
)

KEY = jax.random.key(0)
# A smooth picture of 32 pixels in three colours.
NOISE = np.random.default_rng(0).uniform(size=(32, 32, 3))
PICTURE = ndimage.gaussian_filter(NOISE, (2, 2, 0))
PICTURE = ((PICTURE - PICTURE.min()) / np.ptp(PICTURE)).astype(np.float32)


@pytest.mark.parametrize("name", corruptions.names())
def test_worse_with_severity_in_range_and_true_to_its_key(name):
    program = jax.jit(lambda key, s: corruptions.corrupt(name, key, PICTURE, s))
    made = [np.asarray(program(KEY, s)) for s in (1, 2, 3, 4, 5)]
    far = [float(np.abs(m - PICTURE).mean()) for m in made]
    assert far[0] > 1e-4
    # The constants of these do not rise in all steps; elastic's first is the largest.
    assert far == sorted(far) or name in ("elastic", "glass_blur", "snow")
    assert far[4] > 1.3 * far[0] or name == "elastic"
    for m in made:
        assert m.shape == PICTURE.shape and m.dtype == np.float32
        assert m.min() >= 0 and m.max() <= 1 and np.isfinite(m).all()
    np.testing.assert_array_equal(made[2], program(KEY, 3))


@pytest.mark.parametrize("name", corruptions.names())
def test_grey_images_of_odd_size(name):
    image = PICTURE[:9, :13, :1]
    made = corruptions.corrupt(name, KEY, image, 5)
    assert made.shape == image.shape and jnp.isfinite(made).all()
    flat = corruptions.corrupt(name, KEY, image[..., 0], 5)
    np.testing.assert_allclose(flat, made[..., 0], atol=1e-6)


def test_jpeg_is_that_of_pillow():
    """Up to its whole numbers: without subsampling, at each quality."""
    for severity, quality in enumerate((80, 65, 58, 50, 40), 1):
        file = io.BytesIO()
        picture = Image.fromarray(np.round(255 * PICTURE).astype(np.uint8))
        picture.save(file, "JPEG", quality=quality, subsampling=0)
        expected = np.asarray(Image.open(file)).astype(float) / 255
        found = np.asarray(corruptions.corrupt("jpeg", KEY, PICTURE, severity))
        assert np.abs(found - expected).mean() < 1.5 / 255
    assert np.abs(found - expected).mean() < 0.3 * np.abs(found - PICTURE).mean()


def test_noise_has_its_size():
    grey = jnp.full((64, 64, 3), 0.5)
    noisy = corruptions.corrupt("gaussian_noise", KEY, grey, 5)
    assert float(jnp.std(noisy)) == pytest.approx(0.10, rel=0.03)
    shots = corruptions.corrupt("shot_noise", KEY, grey, 5)
    assert float(jnp.std(shots)) == pytest.approx((0.5 / 50) ** 0.5, rel=0.03)
    salted = np.asarray(corruptions.corrupt("impulse_noise", KEY, grey, 5))
    assert (salted != 0.5).mean() == pytest.approx(0.07, rel=0.1)
    assert set(np.unique(salted)) == {0.0, 0.5, 1.0}


def test_blurs_keep_a_grey_image_and_the_mean():
    grey = jnp.full((32, 32, 1), 0.4)
    for name in corruptions.names():
        if name.endswith("blur") and name != "zoom_blur":
            made = corruptions.corrupt(name, KEY, grey, 5)
            np.testing.assert_allclose(made, 0.4, atol=1e-5)


def test_gaussian_blur_is_that_of_scipy():
    expected = ndimage.gaussian_filter(PICTURE, (1, 1, 0), mode="nearest")
    found = corruptions.corrupt("gaussian_blur", KEY, PICTURE, 5)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_motion_smears_along_its_line():
    point = jnp.zeros((21, 21, 1)).at[10, 10].set(1.0)
    made = corruption_blur.along(point, jnp.float32(0), jnp.float32(2))
    assert float(made[10].sum()) == pytest.approx(float(made.sum()), rel=1e-5)
    assert float(made.sum()) == pytest.approx(1.0, rel=1e-2)
    assert (made[10, :10, 0] > 0).sum() >= 4 and made[10, 11:].sum() == 0


def test_brightness_adds_to_the_value():
    found = np.asarray(corruptions.corrupt("brightness", KEY, PICTURE, 3))
    for pixel, lighter in zip(
        PICTURE.reshape(-1, 3)[::37], found.reshape(-1, 3)[::37], strict=True
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixel))
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.15))
        np.testing.assert_allclose(lighter, expected, atol=1e-5)


def test_contrast_and_pixels():
    found = corruptions.corrupt("contrast", KEY, PICTURE, 5)
    mean = PICTURE.mean((0, 1))
    np.testing.assert_allclose(found, mean + 0.15 * (PICTURE - mean), atol=1e-5)
    coarse = np.asarray(corruptions.corrupt("pixelate", KEY, PICTURE, 5))
    np.testing.assert_allclose(coarse.mean((0, 1)), mean, atol=1e-2)
    assert (
        np.abs(np.diff(coarse, axis=1)).mean() < np.abs(np.diff(PICTURE, axis=1)).mean()
    )


def test_an_affine_displacement_moves_its_corners():
    moves = jnp.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]])
    field = corruption_digital.affine(moves, 12, 10)
    corners = [(6 + 4, 5 + 4), (6 + 4, 5 - 4), (6 - 4, 5 - 4)]
    for move, corner in zip(moves, corners, strict=True):
        np.testing.assert_allclose(field[corner], move, atol=1e-6)


def test_a_plasma_is_rough_at_all_scales():
    field = corruption_noise.plasma(KEY, 32, 32, jnp.float32(3))
    assert float(field.min()) == 0 and float(field.max()) == 1
    assert len(np.unique(np.asarray(field))) > 900


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown corruption 'fogg'; did you mean"):
        corruptions.corrupt("fogg", KEY, PICTURE, 1)
