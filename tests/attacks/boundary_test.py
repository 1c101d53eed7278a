"""Boundaries to many classes: as found at once, in the memory of a few."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.gradients.estimator import exact
from robust_jax.attacks.nearest import _linearised_boundary as linearised_boundary
from robust_jax.core.types import Untargeted
from tests import victims

SHAPE, SLOTS = (16, 16, 3), 4
MANY, MORE = 40, 400


def _temporary(attack, num_classes):
    """Bytes of a step's intermediate values, by the compiler's account."""
    model = victims.affine_victim(SHAPE, num_classes)
    threat = threats.L0(3.0) if attack is attacks.sparsefool() else threats.L2(0.5)
    x = np.full((SLOTS, *SHAPE), 0.5, np.float32)
    goal = Untargeted(np.zeros(SLOTS, np.int32))

    def one(x, goal):
        state = attack.init(jax.random.key(0), threat, x, goal, jnp.zeros(2))
        return attack.step(model, threat, state).iterate

    compiled = jax.jit(jax.vmap(one)).lower(x, goal).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("name", ["deepfool", "fab", "superdeepfool", "sparsefool"])
def test_memory_does_not_grow_with_the_classes(name):
    attack = getattr(attacks, name)()
    few, many = (_temporary(attack, classes) for classes in (MANY, MORE))
    all_gradients = 4 * SLOTS * (MORE - 1) * int(np.prod(SHAPE))  # 4.9 MB.
    assert many < all_gradients / 8
    assert many < 2 * few  # The logits are some of it.


@pytest.mark.parametrize(
    ("choice", "num_classes"),
    [(linearised_boundary.nearest, 12), (linearised_boundary.crossed, 25)],
)
def test_a_block_at_a_time_chooses_as_all_at_once(choice, num_classes, monkeypatch):
    model = victims.two_layer_victim((4, 3, 2), num_classes)
    images = victims.inputs((4, 3, 2), 6)
    # Right and wrong labels: the boundaries ahead, and the ones that were crossed.
    labels = (victims.predicted(model, images) + np.arange(6) % 2) % num_classes

    def chosen(x, label):
        query = linearised_boundary.BoundaryQuery(
            jax.random.key(0), model, threats.L2(1.0), x, Untargeted(label)
        )
        estimate, _, paid = choice(exact(), query, ())
        return estimate, jnp.asarray(paid)

    def found():
        return jax.jit(lambda *rows: jax.vmap(chosen)(*rows))(images, labels)

    estimate, paid = found()
    monkeypatch.setattr(linearised_boundary, "_BLOCK", num_classes)
    whole, paid_whole = found()
    for ours, theirs in zip(estimate, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (
        choice is linearised_boundary.nearest
        or (estimate.value >= 0).tolist() == [False, True] * 3
    )
    assert paid[0].tolist() == [-(-(num_classes - 1) // 10), num_classes - 1]
    assert paid_whole[0].tolist() == [1, num_classes - 1]
