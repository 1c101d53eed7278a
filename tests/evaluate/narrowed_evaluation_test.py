"""Curves, distances, audits and single attacks under masks, scales and lattices."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import robust_jax as rj
from robust_jax import attacks, evaluate, threats
from robust_jax.core import drive, lift, stepping
from robust_jax.core.types import Untargeted
from robust_jax.evaluate.audit import ladder
from tests import victims

N, SIZE = 4, 6
MODEL = Partial(victims.affine, jnp.asarray(50 * np.eye(3, SIZE)), jnp.full(3, -26.0))
IMAGES = np.full((N, SIZE), 0.5, np.float32)
IMAGES[:, 0] = 0.6  # Class 0, by 0.1 over classes 1 and 2.
LABELS = np.array([1, 0, 0, 0])  # The first one is wrong without an attack.
MASK = np.zeros((N, SIZE), bool)
MASK[0] = True  # Only what is not attacked could change.


def test_a_curve_takes_the_mask_and_the_box_of_each_image():
    given = MODEL, IMAGES, LABELS
    radii = [0.1, 0.8]
    for threat in (
        threats.Linf(0.0, mask=MASK),
        threats.Linf(0.0, np.where(MASK, 0, IMAGES), np.where(MASK, 1, IMAGES)),
    ):
        found = evaluate.curve(*given, threat, radii, attacks.bim(3, 1.0))
        np.testing.assert_array_equal(found.broken, [LABELS == 1] * 2)
    other = threats.Linf(0.0, mask=~MASK)
    assert evaluate.curve(*given, other, [0.8], attacks.bim(3, 1.0)).broken.all()


def test_images_by_another_rounding_are_put_on_the_lattice():
    pixels = np.arange(60, dtype=np.float32).reshape(10, SIZE) + 90
    rounded = pixels * np.float32(1 / 255)
    assert (rounded != pixels / np.float32(255)).any()
    labels = victims.predicted(MODEL, rounded)
    for threat in (
        threats.L0(2.0, lattice=1 / 255),
        threats.Linf(0.0, lattice=1 / 255),
    ):
        plan = (evaluate.Stage("a", attacks.pgd(3)),)
        report = evaluate.robustness(
            MODEL, rounded, labels, threat, plan=plan, audit=False
        )
        assert report.claims.passed, report.claims


def test_a_driver_leaves_what_it_does_not_move_to_the_last_bit():
    pixels = np.arange(60, dtype=np.float32).reshape(10, SIZE) + 90
    x = pixels * np.float32(1 / 255)
    labels = victims.predicted(MODEL, x)
    keys = lift.item_keys(0, np.arange(10, dtype=np.uint64))
    run = drive.hosted(attacks.pgd(3), to_the_end=True)
    found = run(keys, MODEL, threats.L0(2.0, lattice=1 / 255), x, Untargeted(labels))
    moved = (found.x_adv != x).sum(axis=1)
    assert (moved <= 2).all() and moved.max() > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"mask": np.ones(SIZE, bool)},
        {"mask": np.ones((N, SIZE), bool)},
        {"scale": np.full((N, SIZE), 0.5)},
        {"scale": np.full(SIZE, 0.5)},
    ],
)
def test_the_radius_of_the_whole_box_knows_what_narrows_it(fields):
    most = ladder.whole_box(threats.Linf(0.1, **fields), (SIZE,))
    np.testing.assert_allclose(most, 2.0 if "scale" in fields else 1.0, rtol=1e-5)
    assert ladder.whole_box(threats.Linf(0.1), (SIZE,)) == 1.0


def test_a_failure_under_a_scale_of_each_image_is_reproduced():
    threat = threats.Linf(0.2, scale=np.full((N, SIZE), 0.5, np.float32))
    plan = (evaluate.Stage("a", attacks.bim(3, 1.0)),)
    given = MODEL, IMAGES, 0 * LABELS, threat
    report = evaluate.robustness(*given, plan=plan, audit=False)
    failure = report.failures()[1]
    again = failure.reproduce()
    np.testing.assert_array_equal(again.x_adv, failure.x_adv)
    assert 0 < again.distance <= 0.2 + 1e-6


def test_what_training_is_fed_is_on_the_lattice():
    run = stepping.last_iterate(attacks.pgd(3, 0.3))
    threat, x = threats.Linf(0.05, lattice=1 / 255), jnp.full(SIZE, 128 / 255)

    x_adv = run(jax.random.key(0), MODEL, threat, x, Untargeted(0))
    np.testing.assert_allclose(255 * x_adv, np.rint(255 * x_adv), atol=1e-4)


def test_what_cannot_be_narrowed_is_refused_in_a_sentence():
    shared = drive.shared(attacks.universal(steps=2))
    with pytest.raises(ValueError, match="lattice=.*expected None for an attack that"):
        threat = threats.Linf(0.1, lattice=1 / 255)
        shared(jax.random.key(0), MODEL, threat, IMAGES, Untargeted(LABELS))
    run = drive.hosted(attacks.pgd(2))
    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    with pytest.raises(TypeError, match="with mask in the threat; expected one array"):
        threat = threats.Linf(0.1, mask=np.float32(1))
        run(keys, lambda x: x["a"], threat, {"a": IMAGES}, Untargeted(LABELS))


def test_a_name_of_several_targets_is_no_single_run():
    given = MODEL, IMAGES, LABELS, threats.Linf(0.1)
    with pytest.raises(ValueError, match="attack='apgd_t' is run towards 9 targets"):
        rj.attack("apgd_t", *given)
    stage = sys.modules["robust_jax.evaluate.distances"]._stage_of("fab_t")
    assert len(stage.goals(LABELS, np.zeros((N, 3)))) == 2
    assert dataclasses.replace(stage, restarts=2).restarts == 2


def test_the_radius_of_a_minimum_norm_attack_is_a_cap():
    found = rj.attack(attacks.fmn(3), MODEL, IMAGES, LABELS, threats.L2(100.0))
    assert np.isfinite(found.distance).all()
