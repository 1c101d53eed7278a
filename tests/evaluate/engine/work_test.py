"""What fills the slots: keys by name, goals by target, examples by position."""

import jax
import numpy as np

from robust_jax import threats
from robust_jax.core import lift
from robust_jax.core.types import Towards
from robust_jax.evaluate.engine import Examples, Item, Work

N, CLASSES, TARGETS, RESTARTS, STAGE, SEED = 5, 4, 3, 2, 6, 9


def examples():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(N, 3)).astype(np.float32)
    labels = np.arange(N, dtype=np.int32) % CLASSES
    logits = rng.normal(size=(N, CLASSES)).astype(np.float32)
    return Examples(images, labels, rng.integers(0, 2**63, N).astype("u8"), logits)


def test_a_slot_has_the_example_the_target_and_the_key_of_its_item():
    data, attacked = examples(), np.array([4, 1, 3])
    goals = [Towards(data.labels, (data.labels + k + 1) % CLASSES) for k in range(3)]
    eps = np.linspace(0.1, 0.5, N)
    threat = threats.Linf(eps)
    work = Work(data, attacked, goals, RESTARTS, threat, SEED, STAGE)
    items = [Item(row, place) for place in range(TARGETS * RESTARTS) for row in (2, 0)]
    order = work.inputs([*items, None])
    at = attacked[[item.row for item in items]]
    targets, restarts = np.divmod([item.place for item in items], RESTARTS)
    np.testing.assert_array_equal(order.x[:-1], data.images[at])
    np.testing.assert_array_equal(order.logits[:-1], data.logits[at])
    np.testing.assert_array_equal(order.threat.eps[:-1], eps[at].astype(np.float32))
    np.testing.assert_array_equal(order.goal.label[:-1], data.labels[at])
    expected = (data.labels[at] + targets + 1) % CLASSES
    np.testing.assert_array_equal(order.goal.target[:-1], expected)
    for slot, (example, target, restart) in enumerate(
        zip(at, targets, restarts, strict=True)
    ):
        names = {"stage": STAGE, "target": int(target), "restart": int(restart)}
        key = lift.item_keys(SEED, data.ids[[example]], **names)
        np.testing.assert_array_equal(order.key_data[slot], jax.random.key_data(key)[0])
    assert len(np.unique(order.key_data[:-1], axis=0)) == len(items)


def test_a_tie_of_clean_logits_is_no_right_answer():
    logits = np.array([[2, 1, 2], [2, 1, 1.9], [1, 2, 3]], np.float32)
    none = np.zeros((3, 1), np.float32)
    data = Examples(none, np.zeros(3, np.int32), np.arange(3, dtype="u8"), logits)
    np.testing.assert_allclose(data.margin, [0, -0.1, 2], rtol=1e-6)
    np.testing.assert_array_equal(data.right, [False, True, False])
