"""Masks, scales, lattices, boxes and radii of each image: what narrows a threat."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from PIL import Image

from robust_jax import attacks, threats
from robust_jax.core import drive, faces, ids, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import Stage, distances, robustness

BALLS = ["linf", "l2", "l1", "l0"]
EPS = {"linf": 0.1, "l2": 0.5, "l1": 1.0, "l0": 3.0, "patch": 2.0}
CASES = [("linf", "mask"), ("l2", "mask"), ("l1", "mask"), ("linf", "scale")]
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
SHAPE, N = (4, 4, 3), 12
RNG = np.random.default_rng(0)
BYTES = np.rint(RNG.uniform(64, 191, (N, *SHAPE))).astype(np.float32)
X = BYTES / np.float32(255)
W = RNG.normal(size=(X[0].size, 3)).astype(np.float32)
MASK = RNG.random((N, *SHAPE)) < 0.4
SCALE = RNG.uniform(0.2, 1, SHAPE).astype(np.float32)
LOGITS = X.reshape(N, -1) @ W
LABELS = LOGITS.argmax(axis=1).astype(np.int32)


def affine(w, x):
    return x.reshape(-1) @ w


MODEL = Partial(affine, W)


def found(threat, attack, to_the_end=True):
    keys = lift.item_keys(0, ids.example_ids(X, LABELS))
    run = drive.hosted(attack, to_the_end=to_the_end)
    return jax.device_get(run(keys, MODEL, threat, X, Untargeted(LABELS)))


def slope(other):
    """Of a class's logit less the label's, [N, *S]."""
    return (W.T[other] - W.T[LABELS]).reshape(N, *SHAPE)


def two_classes():
    """A net of two classes, whose margin is affine, its slope and its labels."""
    w = W[:, :2]
    labels = (X.reshape(N, -1) @ w).argmax(axis=1).astype(np.int32)
    grad = (w.T[1 - labels] - w.T[labels]).reshape(N, *SHAPE)
    return Partial(affine, w), labels, grad


@pytest.mark.parametrize(("norm", "part"), CASES)
def test_ascent_reaches_the_dual_norm_of_what_may_change(norm, part):
    model, labels, grad = two_classes()
    fields = {"mask": MASK} if part == "mask" else {"scale": SCALE}
    eps = 0.05
    threat = threats.by_name(norm)(eps, **fields)
    keys = lift.item_keys(0, ids.example_ids(X, labels))
    pgd, slide = attacks.pgd(40, 0.25), attacks.slide(100, percentile=99.9)
    attack = slide if norm == "l1" else pgd
    run = drive.hosted(attack, to_the_end=True)
    result = jax.device_get(run(keys, model, threat, X, Untargeted(labels)))
    free = grad * (MASK if part == "mask" else SCALE)
    climb = eps * np.linalg.norm(free.reshape(N, -1), DUAL[norm], axis=1)
    logits = X.reshape(N, -1) @ W[:, :2]
    clean = logits[np.arange(N), 1 - labels] - logits[np.arange(N), labels]
    np.testing.assert_allclose(result.margin, clean + climb, rtol=1e-3, atol=1e-4)
    size = threat.measured(result.x_adv.astype(float) - X)
    assert (size <= eps + 1e-6).all()


@pytest.mark.parametrize(("norm", "part"), CASES)
def test_fab_finds_the_boundary_in_what_may_change(norm, part):
    model, labels, grad = two_classes()
    fields = {"mask": MASK} if part == "mask" else {"scale": SCALE}
    threat = threats.by_name(norm)(np.inf, -np.inf, np.inf, **fields)
    keys = lift.item_keys(0, ids.example_ids(X, labels))
    run = drive.hosted(attacks.fab(5), to_the_end=True)
    result = jax.device_get(run(keys, model, threat, X, Untargeted(labels)))
    free = grad * (MASK if part == "mask" else SCALE)
    logits = X.reshape(N, -1) @ W[:, :2]
    gap = logits[np.arange(N), labels] - logits[np.arange(N), 1 - labels]
    least = gap / np.linalg.norm(free.reshape(N, -1), DUAL[norm], axis=1)
    np.testing.assert_allclose(result.distance, least, rtol=0.01)
    size = threat.measured(result.x_adv.astype(float) - X)
    np.testing.assert_allclose(size, result.distance, rtol=1e-4)


@pytest.mark.parametrize("norm", [*BALLS, "patch"])
@pytest.mark.parametrize("given", ["mask", "lattice", "both"])
def test_projections_and_samples_are_feasible(norm, given):
    x0, mask = X[0], MASK[0]
    fields = {"mask": mask} if given != "lattice" else {}
    fields |= {"lattice": 1 / 255} if given != "mask" else {}
    threat = threats.by_name(norm)(EPS[norm], **fields)
    drawn = [threat.sample(jax.random.key(i), x0) for i in range(5)]
    far = [RNG.normal(size=SHAPE).astype(np.float32) + x0 for _ in range(5)]
    points = np.stack([*drawn, *(threat.project(point, x0) for point in far)])
    size = threat.measured(points.astype(np.float64) - x0)
    assert (size <= EPS[norm] + 1e-5).all() and (size > 0).any()
    assert points.min() >= 0 and points.max() <= 1
    if "lattice" in fields:
        k = np.rint(points * 255).astype(np.float32)
        np.testing.assert_array_equal(points, k / np.float32(255))


@pytest.mark.parametrize("norm", BALLS)
def test_a_masked_projection_is_that_of_the_free_coordinates(norm):
    x, x0, mask = X[1] + 1.0 * W[:, 0].reshape(SHAPE), X[1], MASK[1]
    ball = threats.by_name(norm)(EPS[norm])
    near = ball.replace(mask=mask).project(x, x0)
    np.testing.assert_allclose(near[mask], ball.project(x[mask], x0[mask]), atol=1e-6)
    np.testing.assert_array_equal(np.asarray(near)[~mask], x0[~mask])


def test_a_masked_step_of_l2_has_its_whole_length():
    step = threats.L2(0.5, mask=MASK[0]).steepest(W[:, 0].reshape(SHAPE), X[0])
    assert np.linalg.norm(step) == pytest.approx(0.5, rel=1e-5)
    assert not np.asarray(step)[~MASK[0]].any()


ATTACKS = {
    "linf": (attacks.pgd(5), attacks.square(60)),
    "l2": (attacks.pgd(5), attacks.square(60)),
    "l1": (attacks.apgd_l1(steps=10), attacks.slide(5)),
    "l0": (attacks.pgd_l0(5), attacks.sparse_rs(60)),
    "patch": (attacks.bim(5),),
}
PARTS = {
    "mask": {"mask": MASK},
    "a mask for all": {"mask": MASK[0]},
    "lattice": {"lattice": 1 / 255},
    "mask on the lattice": {"mask": MASK, "lattice": 1 / 255},
    "a box of each image": {"lower": X - 0.3, "upper": X + 0.2},
    "a box of each channel": {"lower": np.float32([0, 0.1, 0.2]), "upper": 0.9},
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("norm", ["linf", "l2", "l0", "patch"])
def test_claims_pass(norm, part):
    eps = EPS[norm] * (1 if norm in ("l0", "patch") else 2)
    threat = threats.by_name(norm)(eps, **PARTS[part])
    plan = tuple(Stage(f"a{k}", a) for k, a in enumerate(ATTACKS[norm]))
    report = robustness(MODEL, X, LABELS, threat, plan=plan, audit=False)
    assert report.claims.passed, str(report.claims)
    named = [word for word in ("mask", "lattice") if word in part]
    assert [w in str(report) for w in named] == [True] * len(named)
    assert report.clean_accuracy.value == 1
    assert report.robust_accuracy.value < 1


def test_a_radius_of_each_image_is_that_image_s_alone():
    eps = np.linspace(0, 0.2, N, dtype=np.float32)
    plan = (Stage("pgd", attacks.pgd(5)),)
    together = robustness(MODEL, X, LABELS, threats.Linf(eps), plan=plan, audit=False)
    assert together.claims.passed
    result = found(threats.Linf(eps), attacks.pgd(5))
    for k in (0, 5, 11):
        alone = found(threats.Linf(eps[k]), attacks.pgd(5))
        np.testing.assert_array_equal(result.x_adv[k], alone.x_adv[k])


def test_a_scale_is_a_radius_of_each_pixel():
    threat = threats.Linf(0.2, scale=SCALE)
    plan = (Stage("pgd", attacks.pgd(5)), Stage("square", attacks.square(60)))
    report = robustness(MODEL, X, LABELS, threat, plan=plan, audit=False)
    assert report.claims.passed and report.robust_accuracy.value < 1
    everywhere = threats.Linf(0.2, scale=np.ones(3, np.float32))
    same = [found(t, attacks.pgd(5)).margin for t in (everywhere, threats.Linf(0.2))]
    np.testing.assert_allclose(*same, rtol=1e-6)


def test_claims_see_what_is_outside():
    from robust_jax.evaluate.claims import confirm

    x_adv = X + np.float32(0.01)
    for fields in ({"mask": MASK}, {"lattice": 1 / 255}, {"scale": SCALE * 0.01}):
        threat = threats.Linf(0.1, **fields)
        assert len(confirm(MODEL, threat, X, x_adv, LABELS).outside) == N


def test_what_is_found_on_the_lattice_survives_a_file():
    threat = threats.Linf(8 / 255, lattice=1 / 255)
    result = found(threat, attacks.pgd(10), to_the_end=False)
    won = result.margin >= 0
    assert won.any()
    for image, label, is_won in zip(result.x_adv, LABELS, won, strict=True):
        file = io.BytesIO()
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, "PNG")
        again = np.asarray(Image.open(file)).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(again, image)
        assert (np.argmax(affine(W, again)) != label) == is_won


def test_small_steps_move_on_the_lattice():
    # A step of 0.1 of the way moves no pixel by half a step of the lattice.
    threat = threats.L2(0.05, lattice=1 / 255)
    least = found(threats.L2(0.05), attacks.pgd(30, 0.1)).margin
    clean = found(threats.L2(0.0), attacks.pgd(1, 0.1)).margin
    gained = (found(threat, attacks.pgd(30, 0.1)).margin - clean) / (least - clean)
    assert (gained > 0.2).all() and (gained <= 1 + 1e-4).all()


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_nearest_finds_are_on_the_lattice(norm):
    threat = threats.by_name(norm)(np.inf, lattice=1 / 255)
    report = distances(MODEL, X, LABELS, threat)
    assert report.claims.passed, str(report.claims)
    assert np.isfinite(report.distance).all()


def test_what_does_not_fit_is_refused():
    run = lambda **fields: found(threats.Linf(0.1, **fields), attacks.pgd(2))  # noqa: E731
    with pytest.raises(ValueError, match="mask.shape=.* expected a number, or what"):
        run(mask=np.ones((5, 4, 3), bool))
    with pytest.raises(ValueError, match="lattice=0.3; expected a step whose inverse"):
        run(lattice=0.3)
    with pytest.raises(ValueError, match="x are not on the threat's lattice"):
        run(lattice=1 / 256)
    with pytest.raises(ValueError, match=r"Linf\(eps, scale=...\)"):
        found(threats.Linf(SCALE), attacks.pgd(2))


def test_snapping_never_moves_away():
    x = X[0] + RNG.normal(size=SHAPE).astype(np.float32) * 0.1
    near = np.asarray(faces.snapped(1 / 255, jnp.asarray(x), X[0]))
    assert (np.abs(near - X[0]) <= np.abs(x - X[0]) + 1e-6).all()
    assert (np.abs(near - x) < 1 / 255 + 1e-6).all()
    np.testing.assert_array_equal(near, faces.snapped(1 / 255, x, X[0], np))
