"""A user's images and labels as a data set, or one sentence."""

import numpy as np
import pytest

from robust_jax import datasets
from robust_jax.core.ids import example_ids

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
FLOATS = RNG.random((6, 3, 4, 4), dtype=np.float32)
LABELS = [0, 1, 2, 0, 1, 4]


def test_bytes_stay_bytes_and_floats_keep_their_bits():
    data = datasets.from_arrays(BYTES, LABELS, name="mine")
    assert data.images.dtype == np.uint8 and data.num_classes == 5
    np.testing.assert_array_equal(data.pixels(), BYTES / np.float32(255))
    data = datasets.from_arrays(FLOATS, LABELS)
    np.testing.assert_array_equal(data.pixels(), FLOATS)
    np.testing.assert_array_equal(data.ids, example_ids(FLOATS, np.array(LABELS)))
    assert repr(data).count("\n") == 0 and data.take([1]).pixels().shape == (1, 3, 4, 4)


@pytest.mark.parametrize("span", [(0, 1), (-1, 1), (0, 255), (-3.5, 2)])
def test_a_range_becomes_the_unit_interval(span):
    low, high = span
    given = low + (high - low) * FLOATS.astype(np.float64)
    given[0, 0, 0, :2] = low, high
    pixels = datasets.from_arrays(given, LABELS, image_range=span).pixels()
    assert pixels.dtype == np.float32 and (pixels.min(), pixels.max()) == (0, 1)
    np.testing.assert_allclose(pixels.ravel()[2:], FLOATS.ravel()[2:], atol=2e-7)


def test_counts_of_any_white_stay_bytes():
    counts = (BYTES // 16).astype(np.int64)
    data = datasets.from_arrays(counts, LABELS, image_range=(0, 16))
    assert (data.images.dtype, data.scale) == (np.uint8, 16)
    np.testing.assert_array_equal(data.pixels(), counts / np.float32(16))


def test_what_rounding_put_outside_is_put_on_the_end():
    given = np.full((1, 2), np.nextafter(np.float32(1), np.float32(2)))
    assert datasets.from_arrays(given, [0]).pixels().max() == 1


def test_floats_on_a_device_are_the_pixels():
    on_device = datasets.from_arrays(FLOATS, LABELS).on_device()
    pixels, labels = on_device.batch(np.array([5, 0]))
    np.testing.assert_array_equal(pixels, FLOATS[[5, 0]])
    assert labels.tolist() == [4, 0]


def holed(value):
    images = FLOATS.copy()
    images[2, 1, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("images", "labels", "span", "said"),
    [
        (holed(np.nan), LABELS, None, "images.2. holds NaN or inf"),
        (holed(1.5), LABELS, None, "to 1.5, outside image_range=0,1; pass the range"),
        (2 * FLOATS - 1, LABELS, None, "values from -0.9.* outside image_range=0,1"),
        (BYTES.astype(int), LABELS, None, "to 2.., outside image_range=0,1; .* 0,255"),
        (BYTES // 16, LABELS, None, "bytes from 0 to 15, .* such as 0,15 or 0,255"),
        (BYTES, LABELS, (1, 0), "image_range=.1, 0.; expected two numbers"),
        (BYTES, LABELS, (0, np.inf), "expected two numbers"),
        (BYTES, LABELS, "0,1", "image_range='0,1'; expected two numbers"),
        (BYTES > 9, LABELS, None, "images.dtype=bool; expected floats or integers"),
        (np.array([[{}]]), [0], None, "expected numbers of shape"),
        (BYTES[:0], [], None, "images.shape=.0, 4, 4, 1.; expected one image or more"),
        (BYTES, LABELS[:5], None, r"labels.shape=.5,.; expected .6,."),
        (BYTES, [0, 1, 2, 0, 1, -1], None, r"labels\[5\]=-1; expected class numbers"),
        (BYTES, np.array(LABELS) / 2, None, "labels.dtype=float64; expected integers"),
        (BYTES, np.eye(6), None, "take labels.argmax"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(images, labels, span, said):
    with pytest.raises(ValueError, match=said) as caught:
        datasets.from_arrays(images, labels, image_range=span)
    assert "\n" not in str(caught.value)
