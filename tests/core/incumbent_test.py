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
