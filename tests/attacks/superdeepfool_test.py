"""SuperDeepFool beside an oracle in NumPy, and where eps and the budget end it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import exact
from robust_jax.attacks.nearest import _linearised_boundary as linearised_boundary
from robust_jax.attacks.nearest.deepfool import deepfool
from robust_jax.attacks.nearest.superdeepfool import superdeepfool
from robust_jax.core import drive, lift
from robust_jax.core.types import Towards, Untargeted
from tests import victims
from tests.attacks.programs import to_the_end
from tests.reference import superdeepfool as reference

N, SIZE, CLASSES = 24, 12, 4


@functools.cache
def problem():
    model = victims.two_layer_victim((SIZE,), CLASSES, seed=3, scale=3.0)
    images = victims.inputs((SIZE,), N, seed=4)
    return model, images, victims.predicted(model, images)


def nearest(attack, eps=np.inf, goal=None, box=9.0):
    model, images, labels = problem()
    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    eps = np.broadcast_to(np.float32(eps), N)
    threat = threats.L2(eps, np.float32(-box), np.float32(box))
    goal = Untargeted(labels) if goal is None else goal
    return jax.tree.map(
        np.asarray, to_the_end(attack)(keys, model, threat, images, goal)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"deepfool_steps": 1, "projections": 2, "search": 3},
    ],
    ids=["SDF(inf, 1)", "SDF(1, 2)"],
)
def test_goes_where_the_papers_algorithm_goes(settings):
    model, images, labels = problem()
    found = nearest(superdeepfool(**settings))
    oracle = functools.partial(
        reference.superdeepfool,
        [np.asarray(a, float) for a in model.args[0]],
        m=settings.get("deepfool_steps", 100),
        n=settings.get("projections", 1),
        overshoot=0.02,
        search=settings.get("search", 10),
    )
    points, looks = zip(*map(oracle, images.astype(float), labels), strict=True)
    known = np.array([point is not None for point in points])
    assert known.mean() > 0.9
    # Where projected points come to the boundary from this side, rounding decides when.
    short = known & (np.array(looks) < 20)
    assert short.mean() > 0.6 and len(set(np.array(looks)[short])) > 1
    np.testing.assert_array_equal(found.forwards[short], np.array(looks)[short] + 1)
    nearby = np.stack([points[k] for k in np.flatnonzero(short)])
    np.testing.assert_allclose(found.x_adv[short], nearby, atol=1e-4)
    expected = [np.linalg.norm(points[k] - images[k]) for k in np.flatnonzero(known)]
    np.testing.assert_allclose(found.distance[known], expected, rtol=1e-4)


def test_nearer_than_deepfool_and_the_search_nearer_still():
    plain, searched = nearest(superdeepfool(search=0)), nearest(superdeepfool())
    crossed = nearest(deepfool())
    assert (plain.margin >= 0).all() and (searched.margin >= 0).all()
    assert (plain.distance <= crossed.distance + 1e-6).all()
    assert np.median(plain.distance / crossed.distance) < 0.98
    assert (searched.distance <= plain.distance).all()
    assert (searched.forwards <= plain.forwards + 10).all()
    # From a hundredth nearer nothing is adversarial any more on this line.
    model, images, labels = problem()
    short = images + 0.99 * (searched.x_adv - images)
    assert (victims.predicted(model, short) == labels).all()


def test_eps_caps_what_is_kept_and_changes_nothing_else():
    free = nearest(superdeepfool())
    for factor, found in ((1.001, True), (0.99, False)):
        capped = nearest(superdeepfool(), eps=factor * free.distance)
        assert (capped.distance <= factor * free.distance).all()
        assert ((capped.margin >= 0) == found).all()
        np.testing.assert_array_equal(capped.forwards, free.forwards)


def test_a_crossed_boundary_comes_before_a_nearer_one():
    """Class 2 leads by 1, the plane to class 1 is at 0.1."""
    model = Partial(victims.affine, jnp.eye(3), jnp.asarray([0.0, -0.1, 1.0]))
    here, goal = jnp.zeros(3), Untargeted(jnp.asarray(0))
    query = linearised_boundary.BoundaryQuery(
        jax.random.key(0), model, threats.L2(1.0), here, goal
    )
    for choose, value in (
        (linearised_boundary.crossed, 1.0),
        (linearised_boundary.nearest, -0.1),
    ):
        estimate, _, paid = choose(exact(), query, ())
        assert paid == (1, 2)
        np.testing.assert_allclose(estimate.value, value, rtol=1e-5)


def test_towards_goes_to_one_boundary_at_a_gradient_a_step():
    _, _, labels = problem()
    any_other = nearest(superdeepfool())
    runs = [
        nearest(superdeepfool(), goal=Towards(labels, (labels + k) % CLASSES))
        for k in range(1, CLASSES)
    ]
    for found in runs:
        np.testing.assert_array_equal(found.backwards, found.forwards - 1)
    best = np.min([np.where(r.margin >= 0, r.distance, np.inf) for r in runs], axis=0)
    assert (best <= any_other.distance * 1.002).mean() > 0.9


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"deepfool_steps": 0}, "deepfool_steps=0; expected an integer >= 1"),
        ({"projections": 0}, "projections=0; expected an integer >= 1"),
        ({"overshoot": -0.1}, "overshoot=-0.1; expected a finite number >= 0"),
        ({"search": -1}, "search=-1; expected an integer >= 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings, said):
    with pytest.raises(ValueError, match=said):
        superdeepfool(**settings)


def test_needs_a_norm_with_hyperplanes():
    model, images, labels = problem()
    run = drive.run(superdeepfool())
    key, goal = jax.random.key(0), Untargeted(labels[0])
    with pytest.raises(
        ValueError,
        match="expected threats.Linf, threats.L2 or threats.L1 for superdeepfool",
    ):
        run(key, model, threats.L0(3.0), images[0], goal)
