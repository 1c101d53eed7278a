"""Invariance scores of planted units, gratings and frames."""

import io

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, strategies as st

from robust_jax import analysis


@given(st.lists(st.integers(0, 9), min_size=5, max_size=60), st.floats(0.05, 0.5))
def test_thresholds_let_the_share_fire(values, rate):
    found = analysis.firing(np.array(values)[:, None], rate)
    count = max(1, round(rate * len(values)))
    ordered = sorted(values, reverse=True)
    assert found.thresholds[0] == ordered[count - 1]
    assert found.rates[0] == sum(v >= ordered[count - 1] for v in values) / len(values)


def test_a_unit_that_does_not_mind_scores_the_most():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1000, 3))
    moved = [rng.normal(size=(1000, 3)) for _ in range(20)]
    for each in moved:
        each[:, 0] = base[:, 0]  # Never minds.
    found = analysis.invariance(base, moved, 0.01)
    assert found.scores[0] == pytest.approx(100) and found.local[0] == 1
    assert (found.scores[1:] < 6).all()
    assert analysis.network_invariance(found.scores, 0.3) == found.scores.max()
    assert analysis.network_invariance(found.scores, 1.0) == pytest.approx(
        found.scores.mean()
    )


def test_the_sign_is_that_of_the_higher_score():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1000, 1))
    moved = [np.where(base > 0, rng.normal(size=base.shape), base)]
    both = analysis.invariance(base, moved)
    assert both.firing.signs[0] == -1 and both.scores[0] == pytest.approx(100)
    one = analysis.invariance(base, moved, both_signs=False)
    assert one.firing.signs[0] == 1 and one.scores[0] < 20


def test_what_invariance_refuses():
    values = np.ones((4, 2))
    for call, told in (
        (lambda: analysis.invariance(values, []), "expected at least one change"),
        (lambda: analysis.invariance(values, [values[:2]]), "moved has shape"),
        (lambda: analysis.firing(values, 1.0), "rate=1.0"),
        (lambda: analysis.network_invariance(values[0], 2.0), "share=2"),
    ):
        with pytest.raises(ValueError, match=told):
            call()


def waves(phases):
    return np.stack(
        [analysis.grating(16, 16, 4, 0.3, p) for p in phases]
    ) - 0.5  # fmt: skip


def test_an_energy_cell_does_not_mind_phase_and_a_simple_one_does():
    simple, other = waves([0, np.pi / 2]).reshape(2, -1)

    def cells(images):
        flat = images.reshape(len(images), -1) - 0.5
        a, b = flat @ simple, flat @ other
        return jnp.stack([a, a**2 + b**2, flat[:, 0] * 0], axis=1)

    found = analysis.grating_test(cells, 16, 16, 20 / 1600)  # One wave.
    assert found.phase.local[1] > 0.9 > 0.4 > found.phase.local[0]
    assert found.phase.scores[2] == 1.0  # Constant: fires always.
    assert found.angle.local[1] < 0.5


def test_turning_past_half_a_turn_is_the_wave_that_runs_back():
    from robust_jax.analysis import gratings

    def at(angle, phase):
        return analysis.grating(
            9, 9, 2, np.pi * angle / 20, 2 * np.pi * phase / 20
        ).ravel()

    grid = np.stack([[[at(a, p) for p in range(20)] for a in range(20)]])
    for step in (-5, 3):
        turned = gratings._turned(grid, step)
        for a, p in ((0, 0), (1, 7), (17, 3), (19, 12)):
            np.testing.assert_allclose(turned[0, a, p], at(a + step, p), atol=1e-5)


def test_moves_go_where_they_say():
    image = np.zeros((1, 5, 5, 1), np.float32)
    image[0, 1, 2] = 1
    np.testing.assert_allclose(analysis.translate(image, 1, -2)[0, 2, 0], 1)
    assert analysis.translate(image, 0.5, 0)[0, 1:3, 2, 0] == pytest.approx([0.5, 0.5])
    assert analysis.rotate(image, 90)[0, 2, 1, 0] == pytest.approx(1)  # To the left.
    assert analysis.scale(image, 2)[0, 0, 2, 0] == pytest.approx(1)
    np.testing.assert_allclose(analysis.scale(image, 1.0), image)
    with pytest.raises(ValueError, match="factor=0"):
        analysis.scale(image, 0)


def test_bodies_turn():
    rng = np.random.default_rng(0)
    images = np.zeros((2, 12, 13, 1))
    images[:, 3:9, 4:9] = rng.random((2, 6, 5, 1)) * 0.3
    made = analysis.turning_strokes(images, np.array([-60, 0, 60]), depth=0.2)
    assert made.shape == (2, 3, 12, 13, 1)
    np.testing.assert_allclose(made[:, 1], images, atol=1e-6)
    np.testing.assert_allclose(made.sum((2, 3, 4)), images.sum((1, 2, 3))[:, None]
                               * np.ones(3), rtol=1e-5)  # fmt: skip
    mirrored = analysis.turning_strokes(images[:, :, ::-1], np.array([60]))[:, 0]
    np.testing.assert_allclose(mirrored[:, :, ::-1], made[:, 0], atol=1e-6)
    assert (made[:, 0].sum((1, 3)) > 1e-6).sum() < (images.sum((1, 3)) > 0).sum() * 1.6


def test_frames_and_their_neighbours():
    clips = np.arange(14.0).reshape(2, 7, 1, 1, 1)
    steps = [each.ravel() for each in analysis.frame_moves(clips, 2)]
    assert len(steps) == 5
    np.testing.assert_array_equal(steps[2], [2, 3, 4, 9, 10, 11])
    np.testing.assert_array_equal(steps[0], steps[2] - 2)
    with pytest.raises(ValueError, match="reach=4 in clips of 7 frames"):
        list(analysis.frame_moves(clips, 4))


def test_clips_are_read(tmp_path):
    bytes_ = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    np.save(tmp_path / "clip.npy", bytes_)
    folder = tmp_path / "clip"
    folder.mkdir()
    for i, frame in enumerate(bytes_):
        matplotlib.image.imsave(folder / f"{i}.png", frame)
    found = analysis.load_frames(tmp_path / "clip.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bytes_ / 255, atol=1e-6)
    np.testing.assert_allclose(analysis.load_frames(folder)[..., :3], found, atol=1e-6)
    np.save(tmp_path / "grey.npy", bytes_[..., 0] / 255)
    assert analysis.load_frames(tmp_path / "grey.npy").shape == (3, 4, 5, 1)


def test_clips_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="a directory of frames"):
        analysis.load_frames(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no image"):
        analysis.load_frames(tmp_path)
    (tmp_path / "0.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="0.png: no image that can be read"):
        analysis.load_frames(tmp_path)
    for name in ("0.png", "empty.npy"):
        (tmp_path / name).write_bytes(b"")
    np.savez(tmp_path / "many.npz", a=np.zeros(2))
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04 and no more")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 60,)}
    )
    (tmp_path / "huge.npy").write_bytes(head.getvalue())
    for name in ("0.png", "empty.npy", "many.npz", "zip.npy", "huge.npy"):
        with pytest.raises(ValueError, match="no array; expected a .npy"):
            analysis.load_frames(tmp_path / name)
    for i, shape in enumerate([(2, 3), (3, 3)]):
        matplotlib.image.imsave(tmp_path / f"{i}.png", np.zeros(shape))
    with pytest.raises(ValueError, match="frames of shapes"):
        analysis.load_frames(tmp_path)
    for name, array, told in (
        ("axes", np.zeros((2, 2)), "expected bytes or floats"),
        ("large", np.full((2, 2, 2), 7.0), "values from 7 to 7"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(ValueError, match=told):
            analysis.load_frames(tmp_path / f"{name}.npy")
