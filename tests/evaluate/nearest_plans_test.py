"""The default plan of a norm: near the boundary, within its budget; the line search."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, evaluate, threats
from robust_jax.attacks.catalog import SHORT_BUDGET
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.polish import Part, drawn_in, pruned, refined
from tests import victims
from tests.reference import nearest_boundary

SIZE, CLASSES, N = 12, 6, 8  # Every norm's plan has all five targets.
MODEL = victims.affine_victim((SIZE,), CLASSES)
IMAGES = victims.inputs((SIZE,), N, seed=5, low=0.0, high=1.0)
LABELS = victims.predicted(MODEL, IMAGES)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_the_default_is_near_the_boundary_and_within_its_budget(norm):
    weights, bias = (np.asarray(a, np.float64) for a in MODEL.args)
    best = [
        nearest_boundary.distance(norm, weights, bias, x.astype(np.float64), label)
        for x, label in zip(IMAGES, LABELS, strict=True)
    ]
    found = evaluate.distances(
        MODEL, IMAGES, LABELS, threats.by_name(norm)(np.inf), seed=3
    )
    assert found.name == "nearest" and found.claims.passed
    assert (found.distance >= np.array(best) - 1e-5).all()
    one = norm == "l0"  # Counts: nothing convex leads to the fewest coordinates.
    np.testing.assert_allclose(found.distance, best, rtol=0.01, atol=float(one))
    assert np.median(found.distance / best) < 1.01
    assert 500 < found.forwards + found.backwards <= SHORT_BUDGET


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="unknown norm 'l3'"):
        evaluate.nearest("l3")


def _part(model, threat, x, labels):
    ids = np.arange(len(x), dtype=np.uint64)
    return Part(model, threat, Examples(x, labels, ids, np.zeros((len(x), 1))))


def _half(x):
    """Of the second class from a mean of 1/2 on, of no class beyond 0.9."""
    lead = jnp.mean(x) - 0.5
    return jnp.where(jnp.mean(x) > 0.9, jnp.nan, jnp.array([0.0, 1.0]) * lead)


@pytest.mark.parametrize(("halvings", "left"), [(0, 0.3), (1, 0.1), (12, 1e-4)])
def test_points_are_drawn_to_the_boundary_but_not_across(halvings, left):
    x = np.full((2, 4), 0.2, np.float32)
    x_adv = np.full((2, 4), [[0.8], [0.6]], np.float32)
    threat = threats.L2(np.inf, 0.0, np.full((2, 4), 0.8))
    labels = np.zeros(2, np.int32)
    near = drawn_in(_part(Partial(_half), threat, x, labels), x_adv, halvings, 4)
    beyond = near.mean(axis=1, dtype=np.float64) - 0.5
    assert (beyond >= 0).all() and beyond[0] <= left + 1e-6
    assert near.dtype == np.float32 and (halvings > 0 or (near == x_adv).all())


def test_ties_and_answers_that_are_no_number_stay_adversarial():
    x, labels = np.full((2, 4), 0.2, np.float32), np.zeros(2, np.int32)
    x_adv = np.full((2, 4), [[0.5], [1.0]], np.float32)
    part = _part(Partial(_half), threats.L2(np.inf), x, labels)
    tie = drawn_in(part, x_adv, 3, 4)
    assert tie[0].mean() == 0.5  # Its own place: everything nearer is right.
    assert tie[1].mean() == pytest.approx(0.5, abs=1e-6)  # 0.6 is wrong, 0.4 is not.


def test_coordinates_are_dropped_while_the_others_go_to_the_faces():
    model = Partial(
        lambda x: jnp.array([0.0, 1.0]) * (jnp.array([4, 3, -2, 1]) @ x - 3.5)
    )
    x, labels = np.array([[0, 0, 1, 0]] * 3, np.float32), np.zeros(3, np.int32)
    x_adv = np.array([[0.9, 0.8, 0.5, 0.9], [1, 1, 0, 0], [1, 0.9, 1, 1]], np.float32)
    part, out = _part(model, threats.L0(np.inf), x, labels), []
    for points in (0, 1, 2, 3):
        out.append(pruned(part, x_adv, points, 4))
    assert (out[0] == x_adv).all()
    # 4, 3, 2 and 1 climb: 7.5 by all, and 5.5 (from -2 at x) is needed.
    assert (out[1][0] == [1, 1, 0, 0]).all() and (out[1][2] == [1, 1, 1, 0]).all()
    assert (out[2][0] == [1, 1, 1, 0]).all() and (out[3][0] == out[2][0]).all()
    assert [int((a != x).sum()) for a in out] == [10, 7, 6, 6]


def _three(x):
    """Flat: of class 0 below a mean of 1/2, else of class 2."""
    return jnp.where(jnp.mean(x) < 0.5, jnp.eye(3)[0], jnp.eye(3)[2])


def test_an_attack_goes_on_from_the_find_towards_its_class():
    x, labels = np.full((2, 4), 0.2, np.float32), np.zeros(2, np.int32)
    find = np.full((2, 4), [[0.8], [0.6]], np.float32)
    still = attacks.fab(2)  # Where the net is flat, it only draws back a little.
    part = _part(Partial(_three), threats.L2(np.inf), x, labels)
    found = refined(still, part, find, 0, 4)
    assert (found.margin >= 0).all() and (found.x_adv >= 0.5).all()
    assert (found.distance < [1.2, 0.8]).all()

    far = np.float32(1 - IMAGES)
    wrong = victims.predicted(MODEL, far) != LABELS
    images, far, labels = IMAGES[wrong], far[wrong], LABELS[wrong]
    assert len(far) > 0
    part = _part(MODEL, threats.L2(np.inf), images, labels)
    found = refined(attacks.fab(30), part, far, 0, 4)
    weights, bias = (np.asarray(a, np.float64) for a in MODEL.args)
    seen, rows = victims.predicted(MODEL, far), np.arange(len(far))
    gap = (weights @ images[..., None].astype(np.float64))[..., 0] + bias
    way = np.linalg.norm(weights[seen] - weights[labels], axis=1)
    plane = (gap[rows, labels] - gap[rows, seen]) / way
    assert (found.margin >= 0).all() and (found.distance < 1.5 * plane + 0.2).all()
