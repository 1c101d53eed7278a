import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.core.margin import margin, verdict
from robust_jax.core.types import Reach, Towards, Untargeted

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("logits", "goal", "expected"),
    [
        ([1.0, 4.0, 2.0], Untargeted(1), -2.0),
        ([1.0, 4.0, 2.0], Untargeted(2), 2.0),
        ([1.0, 4.0, 2.0], Towards(1, 0), -2.0),  # Any error will do,
        ([1.0, 4.0, 2.0], Towards(0, 2), 3.0),  # not only the target.
        ([1.0, 4.0, 2.0], Reach(1), 2.0),
        ([1.0, 4.0, 2.0], Reach(0), -3.0),
        ([4.0, 4.0, 2.0], Untargeted(1), 0.0),  # A tie is lost,
        ([4.0, 4.0, 2.0], Reach(1), 0.0),  # and reaches its target.
        ([-3.0, -1.0], Untargeted(1), -2.0),  # No zero sneaks in from masking.
        ([-3.0, -1.0], Untargeted(0), 2.0),
        ([-3.0, -1.0], Reach(0), -2.0),
        ([0.0, -INF, 1.0], Untargeted(2), -1.0),
        ([0.0, INF, 1.0], Untargeted(1), -INF),
        ([INF, INF, 1.0], Untargeted(1), NAN),
        ([NAN, 1.0, 2.0], Untargeted(2), NAN),
        ([0.0, 1.0, NAN], Untargeted(2), NAN),
        ([0.0, 1.0, NAN], Reach(1), NAN),
    ],
)
def test_margin(logits, goal, expected):
    np.testing.assert_array_equal(margin(jnp.array(logits), goal), expected)


def test_with_two_classes_reaching_the_other_is_any_error():
    for pair in ([0.5, -1.0], [2.0, 3.0], [1.0, 1.0]):
        logits = jnp.array(pair)
        assert margin(logits, Reach(1)) == margin(logits, Untargeted(0))


@pytest.mark.parametrize("goal", [Untargeted(2), Towards(2, 0), Reach(0)])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("position", range(3))
def test_without_a_number_the_example_is_lost(goal, bad, position):
    logits = jnp.array([0.0, 1.0, 9.0]).at[position].set(bad)
    assert verdict(logits, goal) == INF


def test_verdict_of_numbers_is_their_margin():
    assert verdict(jnp.array([1.0, 4.0, 2.0]), Untargeted(1)) == -2
    assert verdict(jnp.array([4.0, 4.0, 2.0]), Untargeted(1)) == 0
