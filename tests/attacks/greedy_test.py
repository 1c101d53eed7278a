"""greedy_l0: the least number on affine nets, candidates that are really asked, eps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import Untargeted
from tests import victims
from tests.attacks.minimum_norm_test import nearest
from tests.reference import nearest_boundary


def test_is_the_optimum_between_two_classes_of_an_affine_net():
    model = victims.affine_victim((12,), 2)
    images = victims.inputs((12,), 10, seed=4)
    labels = victims.predicted(model, images)
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    best = [
        nearest_boundary.distance("l0", weights, bias, x.astype(np.float64), label)
        for x, label in zip(images, labels, strict=True)
    ]
    found = nearest(attacks.greedy_l0(), threats.L0(np.inf), model, images, labels)
    assert max(best) == 2
    np.testing.assert_array_equal(found.distance, best)
    np.testing.assert_array_equal(found.backwards, best)
    # The clean look that the driver takes is one; 12 coordinates can be asked.
    np.testing.assert_array_equal(found.forwards, 1 + 13 * np.array(best))


def _saturating(x):
    """The steepest coordinate gives 0.2 at most, the next one 1.5; 1.1 is needed."""
    lead = 2 * jnp.minimum(x[0], 0.1) + 1.5 * x[1] + 1.0 * x[2] - 1.1
    return jnp.array([0.0, 1.0]) * lead


def _on_saturating(candidates, eps=np.inf):
    run = drive.run(attacks.greedy_l0(4, candidates), to_the_end=True)
    x = jnp.zeros(3)
    return run(jax.random.key(0), _saturating, threats.L0(eps), x, Untargeted(0))


def test_the_net_is_asked_about_the_candidates():
    assert _on_saturating(1).distance == 2
    assert _on_saturating(2).distance == 1
    assert _on_saturating(9).forwards == 1 + 1 + 3


def test_eps_caps_the_coordinates():
    held = _on_saturating(1, eps=1.0)
    assert held.margin == pytest.approx(-0.9) and held.distance == 1
    assert _on_saturating(1, eps=2.0).distance == 2
    assert _on_saturating(1, eps=0.0).distance == 0


def test_refuses_other_norms_and_no_candidates():
    with pytest.raises(ValueError, match="candidates=0"):
        attacks.greedy_l0(4, 0)
    run, x = drive.run(attacks.greedy_l0(1)), jnp.zeros(3)
    with pytest.raises(ValueError, match=r"threat=L2; expected threats\.L0 for greedy"):
        run(jax.random.key(0), _saturating, threats.L2(1.0), x, Untargeted(0))
