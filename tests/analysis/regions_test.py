"""Units as detectors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

from robust_jax import analysis

CORNERS = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2)
BOXES = st.lists(st.tuples(st.integers(0, 1), CORNERS), min_size=1, max_size=12)


def made(boxes):
    return np.array([(i, y, x, y + h, x + w) for i, (y, x, h, w) in boxes])


def by_pixels(a, b):
    """Intersection over union, pixel by pixel."""
    sets = [
        set(itertools.product(range(t, down), range(left, r)))
        for t, left, down, r in (a, b)
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@given(BOXES, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3, 0.7]))
def test_suppression(boxes, random, most):
    boxes = made(boxes)
    scores = np.array([random.randrange(4) for _ in boxes], float)
    kept = analysis.nms(boxes, scores, most)
    assert scores[kept[0]] == scores.max()
    assert (np.diff(scores[kept]) <= 0).all()
    for i, j in itertools.combinations(kept, 2):
        if boxes[i, 0] == boxes[j, 0]:
            assert by_pixels(boxes[i, 1:], boxes[j, 1:]) <= most
    for i in set(range(len(boxes))) - set(kept):
        assert any(
            by_pixels(boxes[i, 1:], boxes[j, 1:]) > most and scores[j] >= scores[i]
            for j in kept
            if boxes[i, 0] == boxes[j, 0]
        )
    order = list(range(len(boxes)))
    random.shuffle(order)
    again = analysis.nms(boxes[order], scores[order], most)
    np.testing.assert_array_equal(boxes[order][again], boxes[kept])


def test_regions_lie_on_a_grid():
    boxes = analysis.propose(2, 6, 8, [4, 6], 2)
    assert len(boxes) == 2 * (2 * 3 + 1 * 2)
    assert boxes[:, 3].max() == 6 and boxes[:, 4].max() == 8
    assert set(boxes[:, 0]) == {0, 1} and (boxes[:, 3] - boxes[:, 1] >= 4).all()


def test_crops_are_copies_or_resampled():
    ramp = np.arange(8.0)[None, None, :, None] * np.ones((2, 8, 1, 1))
    boxes = np.array([[1, 2, 3, 5, 6], [0, 0, 0, 8, 8]])
    copy, half = analysis.crops(ramp, boxes, 3)[0], analysis.crops(ramp, boxes, 4)[1]
    np.testing.assert_array_equal(copy[0, :, 0], [3, 4, 5])
    np.testing.assert_allclose(half[2, :, 0], [0.5, 2.5, 4.5, 6.5])


def test_one_region_an_image_is_the_order_of_the_images():
    images = np.random.default_rng(0).random((20, 4, 4, 1)).astype(np.float32)
    boxes = analysis.propose(20, 4, 4, [4], 1)

    def features(x):
        return x.reshape(len(x), -1)

    ranked = analysis.rank_units(features, images, boxes, [3, 7], 4, top=5)
    top = analysis.top_inputs(features, images, None, 5)
    for unit, found in zip((3, 7), ranked, strict=True):
        np.testing.assert_array_equal(found.boxes[:, 0], top.indices[unit])
        assert found.values[0] == 1.0
        largest = top.values[unit][0]
        np.testing.assert_allclose(found.values * largest, top.values[unit])


def test_what_cannot_be():
    with pytest.raises(ValueError, match="sizes: 9 in an image of 6 x 8"):
        analysis.propose(1, 6, 8, [9], 1)
    with pytest.raises(ValueError, match="scores.shape="):
        analysis.nms(np.zeros((2, 5), int), [1.0])
    with pytest.raises(ValueError, match="most=2"):
        analysis.nms(np.zeros((1, 5), int), [1.0], 2)
