"""Minimum-norm attacks beside closed forms and the boundary itself.

ddn, fmn, cw_l2, cw_linf, cw_l0 and ead keep the nearest adversarial point; on an affine
model in a box the least distance to each boundary has a closed form.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.reference import nearest_boundary

SIZE, CLASSES, N = 20, 4, 12
CASES = {
    # Cross entropy points between several boundaries, not at the nearest one.
    "ddn": (attacks.ddn(200, objective=objectives.margin), ("l2",)),
    "cw_l2": (
        attacks.cw_l2(9, 500, step_size=0.02, first_const=0.1, slack=0.1),
        ("l2",),
    ),
    "cw_linf": (
        attacks.cw_linf(
            60, 0.002, first_const=0.01, least_bound=1e-3, decrease=0.98, slack=0.1
        ),
        ("linf",),
    ),
    "cw_l0": (attacks.cw_l0(4_000, 100, 0.05, first_const=0.1, slack=0.1), ("l0",)),
    "ead": (
        attacks.ead(9, 500, 0.001, first_const=1.0, beta=0.01, abort_early=False),
        ("l1",),
    ),
    "fmn": (attacks.fmn(200), ("linf", "l2", "l1", "l0")),
}
# What else is allowed, in the norm's unit, and why.
ATOL = {
    "cw_l2": 1e-4,  # Its steps keep their length, with which it overshoots.
    "ead": 2e-4,  # Likewise.
    "cw_linf": 1e-3,  # Its least bound: below, it does not search.
    "cw_l0": 1,  # It drops one coordinate after the other and never takes one back.
}
EACH = pytest.mark.parametrize(
    ("name", "norm"),
    [(name, norm) for name, (_, norms) in CASES.items() for norm in norms],
)


def affine_problem():
    """Images of which every third coordinate is on a face of the box."""
    model = victims.affine_victim((SIZE,), CLASSES)
    images = np.clip(victims.inputs((SIZE,), N, seed=5, low=-0.3, high=1.3), 0, 1)
    bias = -np.asarray(jax.vmap(model)(images)).mean(0)  # All classes are near.
    model = Partial(victims.affine, model.args[0], jnp.asarray(bias))
    return model, images, victims.predicted(model, images)


def nearest(attack, threat, model, images, labels):
    run = jax.jit(lift.over_examples(drive.run(attack, to_the_end=True)))
    keys = lift.item_keys(0, np.arange(len(images), dtype=np.uint64))
    threat = jax.tree.map(jnp.float32, threat)
    return run(keys, model, threat, images, Untargeted(labels))


@EACH
def test_within_one_percent_of_the_boundary_of_an_affine_model(name, norm):
    model, images, labels = affine_problem()
    assert ((images == 0) | (images == 1)).mean() > 0.3
    threat = threats.by_name(norm)(np.inf)
    found = nearest(CASES[name][0], threat, model, images, labels)
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    optimum = [
        nearest_boundary.distance(norm, weights, bias, x, label)
        for x, label in zip(images.astype(np.float64), labels, strict=True)
    ]
    assert (found.margin >= 0).all()
    assert (found.distance >= np.array(optimum) - 1e-5).all()
    np.testing.assert_allclose(
        found.distance, optimum, rtol=0.01, atol=ATOL.get(name, 0)
    )
