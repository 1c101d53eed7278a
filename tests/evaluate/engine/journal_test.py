"""What the journal gives back is what was added, in order, session after session."""

import numpy as np

from robust_jax.evaluate.engine import Entry, Journal


def entry(place, won):
    x_adv = np.full((2, 2), place / 10, np.float32) if won else None
    return Entry(1, 7, place, place - 0.5, 3 + place, 2 + place, x_adv)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one[:-1] == other[:-1]
        np.testing.assert_array_equal(one.x_adv, other.x_adv)


def test_entries_of_all_sessions_come_back_in_order_each_with_its_example(tmp_path):
    wins = [(False, True, False, True), (False, False), (True,)]
    added, place = [], 0
    for session in wins:
        journal = Journal(tmp_path, {"seed": 0})
        assert_same(journal.entries(), added)
        for won in session:
            added.append(entry(place, won))
            journal.add(added[-1])
            place += 1
        journal.flush()
    assert_same(Journal(tmp_path, {"seed": 0}).entries(), added)
