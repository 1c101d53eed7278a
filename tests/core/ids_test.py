import time

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from robust_jax.core.ids import example_ids

_IMAGES = np.random.default_rng(0).random((20, 4, 5, 3), np.float32)
_LABELS = np.arange(20) % 7


def test_ids_never_change():
    """Golden: reports name examples by these numbers."""
    images = np.array([[[0.0, 0.5], [1.0, 0.25]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    ids = example_ids(images, [3, 0])
    assert ids.dtype == np.uint64
    assert ids.tolist() == [7783302206222886984, 13583068162368431781]


def test_an_id_depends_on_its_example_alone():
    ids = example_ids(_IMAGES, _LABELS)
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(
        example_ids(_IMAGES[order], _LABELS[order]), ids[order]
    )
    np.testing.assert_array_equal(example_ids(_IMAGES[:3], _LABELS[:3]), ids[:3])


def test_every_part_of_an_example_counts():
    image = np.zeros((1, 2, 3), np.float32)
    other = image.copy()
    other[0, 1, 2] = np.nextafter(np.float32(0), np.float32(1))
    names = [
        example_ids(image, [0]),
        example_ids(image, [1]),
        example_ids(image, [256]),
        example_ids(other, [0]),
        example_ids(image.reshape(1, 3, 2), [0]),
        example_ids(image.reshape(1, 6), [0]),
        example_ids(image.reshape(1, 1, 2, 3), [0]),
    ]
    assert len({int(name[0]) for name in names}) == len(names)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 3), st.integers(1, 4)),
        elements=st.floats(0, 1, width=16),
    )
)
def test_type_and_layout_do_not_count(images):
    labels = np.zeros(len(images), np.uint8)
    ids = example_ids(images, labels)
    for same in (
        images.astype(np.float64),
        images.astype(np.float16),
        images.astype(">f4"),
        np.asfortranarray(images),
        np.where(images == 0, np.float32(-0.0), images),
    ):
        np.testing.assert_array_equal(example_ids(same, labels.astype(np.int64)), ids)


def test_8_bit_images_scaled_in_float32_or_float64_have_the_same_ids():
    raw = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    single = raw.astype(np.float32) / 255
    np.testing.assert_array_equal(
        example_ids(single, [0]), example_ids(raw / 255.0, [0])
    )


def test_ten_thousand_small_images_take_less_than_a_second():
    images = np.random.default_rng(0).random((10_000, 28, 28), np.float32)
    start = time.process_time()
    ids = example_ids(images, np.zeros(10_000, int))
    assert time.process_time() - start < 1
    assert len(np.unique(ids)) == 10_000


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (np.zeros((2, 3), np.uint8), [0, 1], "dtype=uint8.*divide 8-bit images by 255"),
        (np.zeros((2, 3)), [0], "expected integers of shape .2."),
        (np.zeros((2, 3)), [[0], [1]], "expected integers of shape .2."),
        (np.zeros((2, 3)), [0.0, 1.0], "labels=float64"),
    ],
)
def test_wrong_input_is_named(images, labels, words):
    with pytest.raises(ValueError, match=words):
        example_ids(images, np.asarray(labels))
