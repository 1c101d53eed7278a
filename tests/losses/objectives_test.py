import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.core.margin import margin as success_margin
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.losses import objectives

GOALS = {
    "untargeted": Untargeted(jnp.asarray(0)),
    "towards": Towards(jnp.asarray(0), jnp.asarray(2)),
    "reach": Reach(jnp.asarray(2)),
}
OBJECTIVES = [objectives.cross_entropy, objectives.margin, objectives.dlr]
# Class 0 is right by far; class 2 is not even second.
LOGITS = jnp.array([3.0, 1.0, 0.25, -0.5, -1.0])


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_climbing_it_raises_the_success_margin(objective, goal):
    climb = jax.jit(jax.grad(objective))
    logits = LOGITS
    for _ in range(60):
        grad = climb(logits, goal)
        logits = logits + 0.1 * grad / jnp.linalg.norm(grad)
        if success_margin(logits, goal) >= 0:
            break
    assert success_margin(LOGITS, goal) < -1 and success_margin(logits, goal) >= 0


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", ["towards", "reach"])
def test_with_a_target_it_climbs_that_one(objective, kind):
    grad = jax.grad(objective)(LOGITS, GOALS[kind])
    assert grad[2] > 0 and jnp.argmax(grad) == 2 and grad[0] < 0


@pytest.mark.parametrize(
    ("objective", "goal", "value"),
    [
        (objectives.margin, "untargeted", 1 - 3),
        (objectives.margin, "towards", 0.25 - 3),
        (objectives.margin, "reach", 0.25 - 3),
        (objectives.dlr, "untargeted", (1 - 3) / (3 - 0.25)),
        (objectives.dlr, "towards", (0.25 - 3) / (3 - (0.25 - 0.5) / 2)),
        (objectives.dlr, "reach", (0.25 - 3) / (3 - (0.25 - 0.5) / 2)),
    ],
)
def test_values(objective, goal, value):
    np.testing.assert_allclose(objective(LOGITS, GOALS[goal]), value, rtol=1e-6)


def test_cross_entropy_of_label_or_target():
    log_p = jax.nn.log_softmax(LOGITS)
    found = [objectives.cross_entropy(LOGITS, goal) for goal in GOALS.values()]
    np.testing.assert_allclose(found, [-log_p[0], log_p[2], log_p[2]], rtol=1e-5)


def test_towards_and_reach_differ_once_the_label_is_beaten():
    logits = jnp.array([0.0, 3.0, 1.0])
    assert objectives.margin(logits, GOALS["towards"]) == 1
    assert objectives.margin(logits, GOALS["reach"]) == -2


@pytest.mark.parametrize(
    ("kind", "classes"), [("untargeted", 2), ("towards", 3), ("reach", 3)]
)
def test_dlr_with_too_few_classes_names_them(kind, classes):
    with pytest.raises(ValueError, match=f"K={classes} classes"):
        objectives.dlr(LOGITS[:classes], GOALS[kind])
