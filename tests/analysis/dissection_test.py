"""Network dissection of planted detectors, and of rotated ones."""

import numpy as np
import pytest

from robust_jax import analysis

N, SIDE, CONCEPTS = 60, 8, 6


@pytest.fixture(scope="module")
def planted():
    """Concepts at random places, and a layer whose channels see one each."""
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(N, SIDE, SIDE, CONCEPTS)) < 0.03
    maps = 5.0 * masks + 0.1 * rng.normal(size=masks.shape)
    return maps.astype(np.float32), masks


def test_each_channel_detects_its_concept(planted):
    maps, masks = planted
    found = analysis.dissect(maps, masks, quantile=0.03)
    assert found.concept.tolist() == list(range(CONCEPTS)) and found.unique == CONCEPTS
    assert np.diag(found.iou).min() > 0.7
    assert (found.iou - np.diag(np.diag(found.iou))).max() < 0.1


def test_intersection_over_union_is_that_of_all_images(planted):
    maps, masks = planted
    found = analysis.dissect(maps, masks, quantile=0.2)
    level = np.quantile(maps[..., 2], 0.8)
    fires = maps[..., 2] > level
    both, either = (fires & masks[..., 4]).sum(), (fires | masks[..., 4]).sum()
    assert found.iou[2, 4] == pytest.approx(both / either)


def test_two_detectors_of_a_concept_count_once(planted):
    maps, masks = planted
    twice = np.concatenate([maps[..., :1], maps[..., :1]], axis=-1)
    assert analysis.dissect(twice, masks, quantile=0.03).unique == 1


def test_noise_and_silence_detect_nothing(planted):
    _, masks = planted
    noise = np.random.default_rng(1).normal(size=(N, SIDE, SIDE, 1))
    silent = np.concatenate([noise, np.zeros_like(noise)], axis=-1)
    found = analysis.dissect(silent.astype(np.float32), masks)
    assert found.unique == 0 and (found.concept == -1).all()
    assert found.iou[1].max() == 0


def test_a_rotation_loses_detectors():
    rng, many = np.random.default_rng(0), 24
    masks = rng.uniform(size=(N, SIDE, SIDE, many)) < 0.03
    maps = 5.0 * masks + 0.1 * rng.normal(size=masks.shape)
    turn = analysis.random_rotation(many, 0)
    turned = analysis.dissect(maps @ turn, masks, quantile=0.03)
    back = analysis.dissect(maps @ turn @ turn.T, masks, quantile=0.03)
    assert turned.unique < 20 and back.unique == many
    assert turned.iou.max(axis=1).mean() < back.iou.max(axis=1).mean() - 0.2


def test_small_maps_are_enlarged():
    masks = np.zeros((4, 8, 8, 1), bool)
    masks[:2, :4, :4] = True
    maps = np.zeros((4, 2, 2, 1), np.float32)
    maps[:2, 0, 0] = 1
    found = analysis.dissect(maps, masks, quantile=0.1)
    assert found.iou[0, 0] > 0.6


@pytest.mark.parametrize("size", [2, 7, 12])
def test_powers_of_a_rotation(size):
    turn = analysis.random_rotation(size, 3)
    assert np.linalg.det(turn) == pytest.approx(1)
    power = analysis.rotation_power
    np.testing.assert_allclose(power(turn, 0), np.eye(size), atol=1e-9)
    np.testing.assert_allclose(power(turn, 1), turn, atol=1e-9)
    np.testing.assert_allclose(power(turn, 0.3) @ power(turn, 0.7), turn, atol=1e-9)
    half = power(turn, 0.5)
    np.testing.assert_allclose(half @ half.T, np.eye(size), atol=1e-9)


def test_a_plane_turns_by_its_share_of_the_angle():
    angle = 2.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    part = analysis.rotation_power(turn, 0.25)
    assert np.arctan2(part[1, 0], part[0, 0]) == pytest.approx(0.5)


def test_concepts_of_a_ring():
    image = np.zeros((1, 16, 16, 1))
    rows, columns = np.mgrid[:16, :16]
    radius = np.hypot(rows - 7.5, columns - 7.5)
    image[0, ..., 0] = (radius > 3) & (radius < 6)
    names, masks = analysis.stroke_concepts(image, np.array([3]))
    seen = {name: masks[0, ..., i] for i, name in enumerate(names)}
    assert len(names) == masks.shape[-1] == 23
    assert (seen["hole"] == (radius <= 3)).all()
    assert (seen["class 3"] == (image[0, ..., 0] > 0)).all()
    assert not seen["class 4"].any()
    strokes = [seen[name] for name in names if name.startswith("strokes")]
    assert (sum(s.astype(int) for s in strokes) == seen["class 3"]).all()
    assert seen["strokes upper left"][:8, :8].any()
    edges = [seen[name] for name in names if name.startswith("edge")]
    assert max(sum(e.astype(int) for e in edges).ravel()) == 1
    # The ring rises to the right at its left end, and downwards at its top.
    assert seen["edge 0°"][7:9, :4].any() and not seen["edge 180°"][7:9, :3].any()
    assert seen["edge 90°"][:4, 7:9].any()


def test_other_numbers_of_images(planted):
    maps, masks = planted
    with pytest.raises(ValueError, match="60 maps for 59 masks"):
        analysis.dissect(maps, masks[1:])
