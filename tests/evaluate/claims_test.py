"""Planted violations are found, honest examples pass, and no attack code is asked."""

import ast
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.evaluate.claims import confirm, predict

N, SHAPE = 50, (3, 2)  # More than a tile of the audit, and no multiple of one.
EPS = {"linf": 0.1, "l2": 0.2, "l1": 0.3, "l0": 2.5, "patch": 1.5}
IMAGES = np.random.default_rng(0).uniform(0.3, 0.7, (N, *SHAPE)).astype(np.float32)
LABELS = np.arange(N, dtype=np.int32) % 3


def answer(shift, limit, x):
    """Logits that do not depend on the image, but where a pixel exceeds the limit."""
    logits = jnp.array([0.0, 0.0, 0.0]) + shift
    return jnp.where(jnp.max(x) > limit, jnp.nan, logits)


def says(*logits, limit=np.inf):
    return Partial(answer, jnp.array(logits), jnp.float32(limit))


def ball(name, eps=None, lower=0.0, upper=1.0):
    return threats.by_name(name)(EPS[name] if eps is None else eps, lower, upper)


def moved(norm, factor=1.0):
    """Every image moved by `factor` times eps in the norm, well inside the box."""
    x_adv = IMAGES.astype(np.float64)
    size = x_adv[0].size
    if norm == "patch":
        side = int(EPS[norm] + (factor > 1))
        x_adv[:, 1 : 1 + side, :side] += 0.2
        return x_adv.astype(np.float32)
    if norm == "l0":
        changed = np.arange(size).reshape(SHAPE) < np.floor(EPS[norm]) + (factor > 1)
        return np.where(changed, x_adv + 0.2, x_adv).astype(np.float32)
    step = EPS[norm] * factor / {"linf": 1, "l2": size**0.5, "l1": size}[norm]
    signs = np.where(np.arange(size).reshape(SHAPE) % 2, 1, -1)
    return (x_adv + step * signs).astype(np.float32)


def audited(threat, x_adv, model=None, labels=None):
    labels = (LABELS + 1) % 3 if labels is None else labels
    return confirm(says(0.0, 0.0, 0.0) if model is None else model, threat, IMAGES,
                 x_adv, labels)  # fmt: skip


@pytest.mark.parametrize("norm", EPS)
def test_honest_examples_on_the_sphere_pass(norm):
    found = audited(ball(norm), moved(norm))
    assert found.passed and found.n == N and len(found.outside) == 0
    assert abs(found.excess) <= (0.5 if norm in ("l0", "patch") else 1e-6)
    assert found.excess_of_box == 0
    assert "50 adversarial examples: 0 outside the threat set" in str(found)


@pytest.mark.parametrize("norm", EPS)
def test_one_example_outside_the_ball_is_named(norm):
    x_adv = moved(norm)
    x_adv[7] = moved(norm, 1 + 1e-4)[7]
    found = audited(ball(norm), x_adv)
    np.testing.assert_array_equal(found.outside, [7])
    excess = 0.5 if norm in ("l0", "patch") else 1e-4 * EPS[norm]
    assert not found.passed and found.excess == pytest.approx(excess, rel=0.1)


@pytest.mark.parametrize("top", [1.0, 255.0])
@pytest.mark.parametrize(("norm", "share"), [("linf", 0.1), ("l2", 0.6), ("l1", 4.0)])
def test_what_a_projection_rounds_is_inside_whatever_the_units(norm, share, top):
    """Displacements of 64 pixels, as steps of attacks leave them; no more than that."""
    rng, labels = np.random.default_rng(1), np.ones(N, np.int32)
    images = np.round(rng.uniform(0, 255, (N, 64))) * (top / 255)
    images = images.astype(np.float32)
    away = (images + rng.normal(0, top / 2, images.shape)).astype(np.float32)
    threat = threats.by_name(norm)(share * top, 0.0, top)
    x_adv = np.array(jax.vmap(threat.project)(away, images))
    model = says(0.0, 0.0, 0.0)
    found = confirm(model, threat, images, x_adv, labels)
    assert found.passed, str(found)
    further = threat.replace(eps=share * top * (1 - 3e-5))
    assert len(confirm(model, further, images, x_adv, labels).outside) == N


@pytest.mark.parametrize(("beyond", "outside"), [(0.0, 0), (0.006, 2)])
def test_in_many_dimensions_rounding_excuses_no_more_than_it_does(beyond, outside):
    """Every pixel of two large images moved by next to nothing, and by 0.6 % more."""
    size, labels = 150_528, np.ones(2, np.int32)
    images = np.random.default_rng(0).uniform(0.5, 1, (2, size)).astype(np.float32)
    x_adv = (images - (1 + beyond) / size).astype(np.float32)
    found = confirm(says(0.0, 0.0, 0.0), ball("l1", 1.0), images, x_adv, labels)
    assert len(found.outside) == outside, str(found)


@pytest.mark.parametrize(
    ("shape", "places", "side"),
    [
        ((9,), [(2,), (6,)], 5),
        ((5, 7), [(1, 6), (3, 2)], 5),
        ((5, 7, 2), [(4, 3, 0), (0, 3, 1)], 5),
        ((4, 5, 7, 2), [(0, 1, 1, 0), (3, 2, 2, 1)], 2),
        ((5, 7, 2), [(4, 6, 1)], 1),
        ((5, 7, 2), [], 0),
    ],
)
def test_a_patch_is_as_large_as_the_square_around_all_that_changed(shape, places, side):
    """In pixels: frames and channels lie on top of each other."""
    images = np.full((2, *shape), 0.5, np.float32)
    x_adv = images.copy()
    for place in places:
        x_adv[(1, *place)] = 0.7
    threat, labels = ball("patch", 9.0), np.ones(2, np.int32)
    found = confirm(says(0.0, 0.0, 0.0), threat, images, x_adv, labels)
    np.testing.assert_array_equal(found.size, [0, side])


def test_radii_are_each_example_s_own():
    eps = np.full(N, 0.1)
    eps[[3, 49]] = 0.05
    found = audited(ball("linf", eps), moved("linf"))
    np.testing.assert_array_equal(found.outside, [3, 49])
    assert found.excess == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_pixel_outside_the_box_is_named(side):
    x_adv = IMAGES.copy()
    x_adv[49, 2, 1] = (side > 0) + side * 1e-5
    found = audited(ball("linf", 0.99), x_adv)
    np.testing.assert_array_equal(found.outside, [49])
    assert not found.passed
    assert found.excess_of_box == pytest.approx(1e-5, rel=0.02)


def test_boxes_of_a_pixel_and_of_an_example():
    upper = np.ones((N, *SHAPE))
    upper[5, 0, 0] = 0.2
    np.testing.assert_array_equal(
        audited(ball("linf", upper=upper), IMAGES).outside, [5]
    )
    lower = np.zeros(SHAPE)
    lower[0, 0] = 0.5
    expected = np.flatnonzero(IMAGES[:, 0, 0] < 0.5)
    found = audited(ball("linf", lower=lower), IMAGES)
    np.testing.assert_array_equal(found.outside, expected)


def test_the_face_of_the_box_is_inside_in_the_type_of_the_pixels():
    """float32(0.1) exceeds 0.1 and float32(0.7) falls short of 0.7."""
    x_adv = np.clip(IMAGES, np.float32(0.7), None)
    assert audited(ball("linf", 0.5, lower=0.7), x_adv).passed
    x_adv = np.clip(IMAGES, None, np.float32(0.1))
    assert audited(ball("linf", 0.7, upper=0.1), x_adv).passed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_without_a_number_is_outside(bad):
    x_adv = IMAGES.copy()
    x_adv[4, 1, 1] = bad
    for norm in EPS:
        assert 4 in audited(ball(norm), x_adv).outside


def test_what_the_model_gets_right_is_not_confirmed():
    found = audited(ball("linf"), IMAGES, says(0.0, 0.5, 0.0), labels=LABELS)
    np.testing.assert_array_equal(found.unconfirmed, np.flatnonzero(LABELS == 1))
    assert found.borderline == 0 and not found.passed
    assert "not confirmed by a fresh forward pass (0 of them" in str(found)


def test_at_the_border_the_layout_may_decide():
    found = audited(ball("linf"), IMAGES, says(0.0, 5e-5, 0.0), labels=LABELS)
    assert found.borderline == len(found.unconfirmed) == (LABELS == 1).sum()
    assert found.passed
    found = audited(ball("linf"), IMAGES, says(0.0, 2e-4, 0.0), labels=LABELS)
    assert found.borderline == 0 and not found.passed


def test_a_random_net_is_asked_for_its_majority():
    """40 of 100 right answers confirm; 55 may be chance, 70 are not."""
    right = np.full(N, 40)
    right[[2, 5, 9]] = 55, 70, 50
    looked = says(0.0, 0.0, 9.0), ball("linf"), IMAGES, IMAGES, LABELS
    found = confirm(*looked, right, 100)  # What one forward pass says does not count.
    np.testing.assert_array_equal(found.unconfirmed, [2, 5])
    assert found.borderline == 1 and not found.passed
    assert "2 not confirmed by the majority of 100 fresh answers (1 of" in str(found)
    right[5] = 0
    assert confirm(*looked, right, 100).passed


def test_ties_are_lost_and_so_confirmed():
    assert len(audited(ball("linf"), IMAGES, labels=LABELS).unconfirmed) == 0


def test_no_number_is_no_success_of_the_model_and_is_named():
    x_adv = IMAGES.copy()
    x_adv[[2, 11], 0, 0] += 0.05
    limit = np.nextafter(np.float32(0.9), np.float32(1))
    x_adv[[2, 11], 1, 0] = 0.95
    model = says(0.0, 9.0, 9.0, limit=limit)
    found = audited(ball("linf", 0.7), x_adv, model, labels=np.full(N, 2))
    np.testing.assert_array_equal(found.not_finite, [2, 11])
    assert len(found.unconfirmed) == 0 and found.passed
    assert "2 without finite logits" in str(found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_even_an_infinite_logit_of_the_label_is_no_number(bad):
    found = audited(ball("linf"), IMAGES, says(0.0, bad, 0.0), labels=np.ones(N, int))
    assert len(found.not_finite) == N and len(found.unconfirmed) == 0


def test_nothing_claimed_nothing_found():
    found = confirm(says(0.0, 0.0, 0.0), ball("l2"), IMAGES[:0], IMAGES[:0], LABELS[:0])
    assert found.passed and found.n == 0 and str(found).startswith("0 adversarial")


def test_the_audit_shares_no_code_with_attacks_threats_or_margins():
    source = pathlib.Path(sys.modules[confirm.__module__].__file__)
    tree = ast.parse(source.read_text())
    modules = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("robust_jax")
        for name in node.names
    }
    assert modules == {
        "robust_jax.core.boxes",
        "robust_jax.core.brief.brief",
        "robust_jax.core.brief.brief_html",
        "robust_jax.core.closures",
        "robust_jax.core.compiling",
        "robust_jax.core.compiling.own_settings",
        "robust_jax.core.layout",
        "robust_jax.core.lift",
        "robust_jax.core.memo.memoised",
        "robust_jax.core.metrics.wilson",
        "robust_jax.core.origin",
        "robust_jax.core.types.LogitsFn",
        "robust_jax.core.types.ParametricThreat",
        "robust_jax.core.types.Threat",
    }


def test_predict_answers_in_the_order_of_the_images():
    model = Partial(lambda scale, x: scale * x.ravel()[:3], jnp.float32(2))
    logits = predict(model, IMAGES, 48)
    np.testing.assert_array_equal(logits, 2 * IMAGES.reshape(N, -1)[:, :3])
