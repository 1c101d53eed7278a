"""CLEVER where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis

KEY = jax.random.key(0)


def affine(x):
    weights = jnp.asarray([[3.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    return x.reshape(-1) @ weights + jnp.asarray([1.0, 0.0])


def test_of_an_affine_net_it_is_the_distance_to_the_plane():
    x = jnp.array([[0.5], [0.25], [0.0]])
    margin, slope = 3 * 0.5 - 4 * 0.25 + 1, 5.0
    found = analysis.clever(affine, x, 0, 1, KEY)
    assert found == pytest.approx(margin / slope, rel=1e-4)
    assert analysis.clever(affine, x, 0, 1, KEY, radius=0.1) == pytest.approx(0.1)
    assert analysis.clever(affine, x, 1, 0, KEY) == 0


def test_the_end_point_is_near_the_largest_slope_in_the_ball():
    def curved(x):  # The slope of the margin is |x|, at most 1 in the unit ball.
        return jnp.stack([0.3 + jnp.sum(x**2) / 2, 0.0])

    found = analysis.clever(curved, jnp.zeros(2), 0, 1, KEY, radius=1.0)
    assert found == pytest.approx(0.3, rel=0.01)


def test_maxima_without_an_end_point_do_not_make_the_score_zero():
    from robust_jax.analysis.clever import _end_point

    rng = np.random.default_rng(0)
    for _ in range(5):
        maxima = 8 + 0.3 * rng.gumbel(size=20)
        assert maxima.max() * 0.99 <= _end_point(maxima) < 10 * maxima.max()


def test_points_are_uniform_in_the_ball():
    from robust_jax.analysis.clever import _in_unit_ball

    points = np.asarray(_in_unit_ball(KEY, 20_000, (3, 1))).reshape(-1, 3)
    lengths = np.linalg.norm(points, axis=1)
    assert lengths.max() <= 1 + 1e-6
    for radius in (0.3, 0.6, 0.9):
        assert (lengths < radius).mean() == pytest.approx(radius**3, abs=0.015)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": 0}, "target=0 is the label"),
        ({"batches": 1}, "batches=1; expected at least two"),
        ({"radius": 0.0}, "radius=0"),
    ],
)
def test_bad_arguments_are_refused(changes, words):
    arguments = {"label": 0, "target": 1, "key": KEY} | changes
    with pytest.raises(ValueError, match=words):
        analysis.clever(affine, jnp.zeros((3, 1)), **arguments)
