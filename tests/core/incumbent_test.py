import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.core import incumbent
from robust_jax.core.types import Incumbent, Reach, Untargeted

INF, NAN = np.inf, np.nan
CLEAN = jnp.array([0.25, 0.5])


def point(value, margin):
    return Incumbent(
        jnp.full(2, value), jnp.float32(margin), jnp.float32(abs(value - 0.25))
    )


@pytest.mark.parametrize(
    ("old", "new", "is_new"),
    [
        (-1.0, -0.5, True),
        (-1.0, -2.0, False),
        (0.0, 0.0, False),  # Equal: the older one stays.
        (INF, INF, False),
        (-INF, -1.0, True),
        (-INF, NAN, False),  # NaN replaces nothing,
        (-1.0, NAN, False),
        (1.0, INF, True),
    ],
)
def test_the_larger_margin_stays(old, new, is_new):
    best = incumbent.strongest(point(0.0, old), point(1.0, new))
    expected = point(1.0, new) if is_new else point(0.0, old)
    for ours, theirs in zip(best, expected, strict=True):  # All fields move together.
        np.testing.assert_array_equal(ours, theirs)


def test_types_of_the_older_point_stay():
    old = point(0.0, -1.0)
    new = Incumbent(jnp.ones(2, jnp.bfloat16), jnp.bfloat16(0.5), jnp.int32(1))
    best = incumbent.strongest(old, new)
    assert best.margin == 0.5
    assert [field.dtype for field in best] == [field.dtype for field in old]


def test_before_any_evaluation_everything_is_better():
    nothing = incumbent.nothing_yet(CLEAN)
    np.testing.assert_array_equal(nothing.x, CLEAN)
    assert (nothing.margin, nothing.distance) == (-INF, 0)
    assert incumbent.strongest(nothing, point(1.0, -1e30)).x[0] == 1


@pytest.mark.parametrize(
    ("goal", "logits", "expected"),
    [
        (Untargeted(0), [3.0, 1.0], -2.0),
        (Untargeted(1), [3.0, 1.0], 2.0),
        (Untargeted(0), [3.0, 3.0], 0.0),
        (Reach(1), [3.0, 1.0], -2.0),
        (Untargeted(0), [3.0, NAN], INF),
    ],
)
def test_the_clean_point_is_judged_like_any_other(goal, logits, expected):
    best = incumbent.clean_point(threats.L2(0.1), CLEAN, jnp.array(logits), goal)
    np.testing.assert_array_equal(best.x, CLEAN)
    assert (best.margin, best.distance) == (expected, 0)


EPS, LEAST = 1.0, 0.5


def seen(distance, margin):
    """A point of its own for each distance and margin."""
    values = np.float32([margin, distance])
    return Incumbent(jnp.asarray(values), *jnp.asarray(values))


@pytest.mark.parametrize(
    ("old", "new", "is_new"),
    [
        # (distance, margin): both adversarial, the nearer one stays,
        ((0.8, 2.0), (0.4, 1.0), True),
        ((0.4, 1.0), (0.8, 2.0), False),
        ((0.4, 1.0), (0.4, 2.0), False),  # and the older one on equality.
        # One is adversarial, however far.
        ((0.4, -1.0), (0.9, 1.0), True),
        ((0.9, 1.0), (0.4, -1.0), False),
        # None is: the larger margin stays, however far; the older one on equality.
        ((0.4, -2.0), (0.9, -1.0), True),
        ((0.9, -1.0), (0.4, -2.0), False),
        ((0.9, -1.0), (0.4, -1.0), False),
        # From the least margin on, inclusive, a point counts.
        ((0.8, 2.0), (0.4, LEAST), True),
        ((0.8, 2.0), (0.4, 0.4), False),
        ((0.8, 0.2), (0.4, 0.4), True),
        # Within eps, inclusive.
        ((0.4, -1.0), (EPS, 1.0), True),
        ((0.4, -1.0), (1.1, 1.0), False),
        ((0.4, -2.0), (1.1, -1.0), False),
        # NaN replaces nothing; a first point replaces the start.
        ((0.4, -1.0), (0.2, NAN), False),
        ((0.4, 1.0), (0.2, NAN), False),
        ((0.0, -INF), (0.4, -1.0), True),
    ],
)
def test_the_nearest_adversarial_point_stays(old, new, is_new):
    best = incumbent.closest(seen(*old), seen(*new), EPS, LEAST)
    expected = seen(*new) if is_new else seen(*old)
    for ours, theirs in zip(best, expected, strict=True):  # All fields move together.
        np.testing.assert_array_equal(ours, theirs)
