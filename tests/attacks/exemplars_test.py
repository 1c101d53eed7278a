"""Starts of decision-based attacks."""

import numpy as np
import pytest

from robust_jax import attacks
from robust_jax.core.types import Reach, Untargeted

POOL = np.array([[0.0, 0], [1, 1], [0.4, 0.4], [0.6, 0.5]])
CLASSES = np.array([0, 1, 1, 2])
IMAGES = np.array([[0.1, 0.1], [0.5, 0.5]])


def test_they_are_the_nearest_that_meet_the_goal():
    found = attacks.exemplars(POOL, CLASSES, IMAGES, Untargeted(np.array([0, 1])))
    np.testing.assert_array_equal(found, POOL[[2, 3]])
    found = attacks.exemplars(POOL, CLASSES, IMAGES, Reach(np.array([2, 0])))
    np.testing.assert_array_equal(found, POOL[[3, 0]])


def test_without_one_an_image_stays():
    found = attacks.exemplars(POOL, CLASSES, IMAGES, Reach(np.array([5, 1])))
    np.testing.assert_array_equal(found, [IMAGES[0], POOL[2]])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="pool="):
        attacks.exemplars(POOL[:, :1], CLASSES, IMAGES, Reach(np.array([5, 1])))
