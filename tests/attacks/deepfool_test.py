"""deepfool: how far a step goes, and where it ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import Untargeted

SLOPE, X = jnp.array([1.0, 1.0, 1.0, 0.1]), jnp.array([1.0, 1.0, 1.0, 0.0])


def after(steps, gap):
    """Only the last coordinate has room, by which `gap` is to be climbed."""

    def model(x):
        return jnp.array([0.0, 1.0]) * (SLOPE @ (x - X) - gap)

    run = drive.run(attacks.deepfool(steps), to_the_end=True)
    return run(jax.random.key(0), model, threats.L2(np.inf), X, Untargeted(0))


@pytest.mark.parametrize("gap", [0.01, 0.08])
def test_a_step_is_at_most_twice_the_way_without_a_box(gap):
    once, free = after(1, gap), gap / float(jnp.linalg.norm(SLOPE))
    # In the box the plane is 10 * gap away, 17 times as far.
    assert once.distance == pytest.approx(1.02 * 2 * free, rel=1e-4)
    assert once.margin < 0 and (once.x_adv[:3] == 1).all()
    assert once.distance < after(2, gap).distance < 10 * gap


def test_a_step_that_the_box_leaves_alone_overshoots_the_boundary():
    def model(x):
        return jnp.array([0.0, 1.0]) * (SLOPE @ x - 1.5)

    x = jnp.full(4, 0.4)
    run = drive.run(attacks.deepfool(3), to_the_end=True)
    found = run(jax.random.key(0), model, threats.L2(np.inf), x, Untargeted(0))
    way = (1.5 - float(SLOPE @ x)) / float(jnp.linalg.norm(SLOPE))
    assert found.margin >= 0 and found.distance == pytest.approx(1.02 * way, rel=1e-4)
    assert found.forwards == 3  # The driver's, one to move, one to judge.
