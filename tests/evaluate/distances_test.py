"""How near the nearest found is: counted, looked at again, and compared."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core.metrics import median
from robust_jax.evaluate import (
    Distances,
    NearestPlan,
    Stage,
    distances,
    likeliest_targets,
    nearest_finds,
)
from robust_jax.evaluate.distances import last_radius, optimality
from tests import victims
from tests.reference import nearest_boundary

SIZE, CLASSES, N = 10, 4, 20
MODEL = victims.affine_victim((SIZE,), CLASSES)
IMAGES = victims.inputs((SIZE,), N, seed=2, low=0.3, high=0.7)
LABELS = victims.predicted(MODEL, IMAGES).copy()
LABELS[:3] = (LABELS[:3] + 1) % CLASSES  # Wrong without an attack.
FAB = Stage("fab", attacks.fab(20))


def found(stage=FAB, threat=None, rows=slice(None), **options):
    threat = threats.L2(np.inf) if threat is None else threat
    return distances(MODEL, IMAGES[rows], LABELS[rows], threat, stage, **options)


def made_up(distance, clean=None):
    """What an attack found, as far as the comparison asks."""
    distance = np.array(distance, float)
    clean = distance > 0 if clean is None else np.array(clean)
    return Distances("made up", "l2", distance, clean, 1.0, 1.0, 1.0, None, None)


def test_distances_are_those_to_the_boundary():
    weights, bias = (np.asarray(a, np.float64) for a in MODEL.args)
    optimum = [
        nearest_boundary.distance("l2", weights, bias, x, label)
        for x, label in zip(IMAGES.astype(np.float64), LABELS, strict=True)
    ]
    items = []
    one = found(on_items=items.append)
    assert (one.distance[:3] == 0).all() and not one.clean[:3].any()
    np.testing.assert_allclose(one.distance[3:], optimum[3:], rtol=0.01)
    moved = np.linalg.norm(one.x_adv.astype(np.float64) - IMAGES, axis=1)
    np.testing.assert_allclose(moved, one.distance, atol=1e-12)
    assert one.claims.passed and one.claims.n == N - 3
    assert sum(items) == N - 3
    assert one.success.successes == N - 3
    assert one.forwards == 41 and one.backwards == 60  # 20 x 2 + 1, 20 x (K - 1)
    assert one.median == median(one.distance[3:])
    half = np.median(one.distance)
    assert one.accuracy(half).successes == (one.distance > half).sum()


def test_a_subset_in_another_order_finds_the_same_bytes():
    rows = np.array([7, 3, 12])
    whole, part = found(), found(rows=rows)
    np.testing.assert_array_equal(whole.x_adv[rows], part.x_adv)
    np.testing.assert_array_equal(whole.distance[rows], part.distance)


def test_of_several_targets_the_nearest_counts():
    each = Stage("fab-t", attacks.fab(20), likeliest_targets(CLASSES - 1))
    first = Stage("fab-t", attacks.fab(20), likeliest_targets(1))
    three, one = found(each), found(first)
    assert (three.distance <= one.distance).all()
    assert (three.distance < one.distance).any()
    assert three.forwards > one.forwards


def test_what_does_not_hold_does_not_count():
    honest = attacks.fab(20)

    def lying(threat, state):
        result = honest.finish(threat, state)
        halfway = state.x + 0.5 * (result.x_adv - state.x)
        return result._replace(x_adv=halfway, distance=0.5 * result.distance)

    def careless(threat, state):
        result = honest.finish(threat, state)
        return result._replace(x_adv=jnp.where(result.margin >= 0, 2.0, 0.0) + state.x)

    for finish in (lying, careless):
        one = found(Stage("liar", honest._replace(finish=finish)))
        assert np.isinf(one.distance[3:]).all() and not one.claims.passed
        assert one.success.successes == 0


def test_eps_caps_what_counts():
    free = found()
    cap = float(np.sort(free.distance)[9:11].mean())
    capped = found(threat=threats.L2(cap))
    near = free.distance <= cap
    np.testing.assert_array_equal(capped.distance[near], free.distance[near])
    assert 3 < near.sum() < N
    assert np.isinf(capped.distance[~near]).all()


def test_optimality_is_the_share_of_the_area_that_is_closed():
    exact, worse = np.array([0.0, 1, 2, 3, 4]), np.array([0.0, 1, 2, 4, np.inf])
    blind = np.array([0, *[np.inf] * 4])
    found = {"exact": exact, "worse": worse, "blind": blind}
    # Up to radius 4: areas 10, 11 and 16 fifths.
    expected = {"exact": 1, "worse": 1 - 1 / 6, "blind": 0}
    assert optimality(found) == pytest.approx(expected)
    assert last_radius(found) == 4
    assert made_up(exact).area(4) == pytest.approx(10 / 5)
    halves = {"one": np.array([1.0, 4, 4]), "other": np.array([4.0, 1, 4])}
    assert optimality(halves) == pytest.approx({"one": 1 / 2, "other": 1 / 2})


def test_optimality_where_nobody_finds_anything_is_zero():
    assert optimality({"one": np.array([np.inf, np.inf])}) == {"one": 0.0}
    assert optimality({"one": np.zeros(2)}) == {"one": 0.0}


@pytest.mark.parametrize("short_of_it", [1.0, 1e-5])
def test_polish_that_goes_too_far_loses_nothing(monkeypatch, short_of_it):
    """To x, or to where the margin is so near zero that rounding could decide."""
    plan = NearestPlan("fab", (FAB,), polish=3)
    plain, calls = found(plan._replace(polish=0)), np.zeros(2)

    def across(part, x_adv, points, tile):
        x, labels = part.of.images, part.of.labels
        rows = np.arange(len(x))
        lead = np.array(
            [_margin(at, label) for at, label in zip(x, labels, strict=True)]
        )
        there = np.array([_margin(*p) for p in zip(x_adv, labels, strict=True)])
        share = (-lead - short_of_it * np.abs(lead)) / (there - lead)
        share = np.maximum(share, 0)[rows, None].astype(np.float32)
        return x + share * (x_adv - x), calls

    monkeypatch.setattr(nearest_finds, "polished", across)
    kept = found(plan)
    np.testing.assert_array_equal(kept.distance, plain.distance)
    np.testing.assert_array_equal(kept.x_adv, plain.x_adv)
    assert len(kept.claims.unconfirmed) == 0 and np.isfinite(kept.distance).all()


def _margin(x, label):
    logits = np.asarray(MODEL(x), np.float64)
    return np.delete(logits, label).max() - logits[label]


@pytest.mark.parametrize("eps", [np.nan, -0.5])
def test_a_radius_that_is_none_is_refused(eps):
    with pytest.raises(ValueError, match=rf"eps={eps:g}; expected"):
        found(threat=threats.L2(eps))
