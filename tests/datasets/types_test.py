import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.core.ids import example_ids
from robust_jax.datasets.types import Dataset, dataset_ids


def _dataset(n: int = 300, scale: int = 255) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, scale + 1, (n, 3, 4, 2), dtype=np.uint8)
    labels = rng.integers(0, 5, n).astype(np.int32)
    ids = dataset_ids(images, labels, scale)
    return Dataset("noise", "test", images, labels, ids, 5, scale)


@pytest.mark.parametrize("scale", [16, 255])
def test_pixels_fill_the_unit_interval(scale):
    dataset = _dataset(scale=scale)
    pixels = dataset.pixels()
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (0, 1)
    np.testing.assert_array_equal(np.rint(pixels * scale), dataset.images)


def test_ids_are_those_a_user_gets_for_the_same_pixels():
    dataset = _dataset(n=1500)  # more than are hashed at once
    ids = example_ids(dataset.images / 255.0, dataset.labels)
    np.testing.assert_array_equal(dataset.ids, ids)


def test_take_keeps_image_label_and_id_together():
    dataset, at = _dataset(), [7, 2, 2, 250]
    part = dataset.take(at)
    assert (len(part), part.name, part.num_classes) == (4, "noise", 5)
    np.testing.assert_array_equal(part.images, dataset.images[at])
    np.testing.assert_array_equal(part.ids, example_ids(part.pixels(), part.labels))
    assert len(dataset.take([])) == 0
    np.testing.assert_array_equal(
        dataset.take(dataset.labels == 3).labels,
        np.full((dataset.labels == 3).sum(), 3),
    )


def test_split_at_cuts_in_two():
    dataset = _dataset()
    for first in (0, 1, 299, 300):
        head, tail = dataset.split_at(first)
        assert len(head) == first
        np.testing.assert_array_equal(np.append(head.ids, tail.ids), dataset.ids)
    for first in (-1, 301):
        with pytest.raises(ValueError, match=f"first={first}; expected 0 to 300"):
            dataset.split_at(first)


@pytest.mark.parametrize("scale", [16, 255])
@pytest.mark.parametrize("compiled", [False, True])
def test_pixels_on_device_have_the_bits_of_pixels_on_the_host(scale, compiled):
    dataset = _dataset(scale=scale)
    on_device = dataset.on_device()
    assert on_device.images.dtype == jnp.uint8

    def fetch(data, at):
        return data.batch(at)

    at = jnp.array([5, 299, 0, 5])
    pixels, labels = (jax.jit(fetch) if compiled else fetch)(on_device, at)
    np.testing.assert_array_equal(pixels, dataset.pixels()[at])
    np.testing.assert_array_equal(labels, dataset.labels[at])
