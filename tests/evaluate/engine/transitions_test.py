"""Which slots a chunk of steps moves, and how far."""

import jax
import numpy as np

from robust_jax import attacks, threats
from robust_jax.core.types import Untargeted
from robust_jax.evaluate.engine import transitions
from tests import victims

STEPS, FREE, BROKEN, WAITING = 3, 0, 1, 2  # What is in the slots.


def test_steps_move_slots_with_an_item_that_has_not_ended_up_to_its_last_call():
    """That one needs no gradient: it is `judge`'s."""
    attack, model = attacks.pgd(STEPS, 0.1), victims.affine_victim((4,), 3)
    x = np.full((3, 4), 0.5, np.float32)
    labels = victims.predicted(model, x).copy()
    logits = np.asarray(jax.vmap(model)(x))
    labels[BROKEN] = np.argmin(logits[BROKEN])  # Wrong before any step.
    zeros, ones = np.zeros(3, np.float32), np.ones(3, np.float32)
    threat = threats.Linf(1e-4 * ones, zeros, ones)
    keys = np.arange(6, dtype=np.uint32).reshape(3, 2)
    order = transitions.Inputs(keys, x, Untargeted(labels), threat, logits)
    assert attack.judge is not None

    @jax.jit
    def run(attack, order, live):
        slots = transitions.fresh(attack, order)
        return slots, transitions.looped(attack, model, slots, live, STEPS + 5)

    first, slots = run(attack, order, np.arange(3) != FREE)
    np.testing.assert_array_equal(slots.calls, [0, 0, STEPS])
    np.testing.assert_array_equal(slots.state.i, [0, 0, STEPS])
    np.testing.assert_array_equal(
        slots.state.iterate[:WAITING], first.state.iterate[:WAITING]
    )
    assert (slots.state.iterate[WAITING] != first.state.iterate[WAITING]).any()
