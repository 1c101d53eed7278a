"""The order of work items, what cancels what, and that nothing is lost or run twice."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from robust_jax.evaluate.engine import Item, Queue


def test_targets_go_first_through_all_examples():
    queue = Queue(np.ones((3, 2), bool))
    taken = [queue.take() for _ in range(3)]
    assert taken == [(0, 0), (1, 0), (2, 0)]
    for item in taken:
        queue.settle(item, won=False)
    assert [queue.take() for _ in range(3)] == [(0, 1), (1, 1), (2, 1)]
    assert queue.take() is None


def test_an_item_runs_ahead_only_if_slots_would_idle():
    queue = Queue(np.ones((2, 3), bool))
    assert [queue.take() for _ in range(4)] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    queue = Queue(np.ones((2, 3), bool))
    queue.settle(queue.take(), won=False)
    # Example 0 waits for its second target; example 1 has not begun.
    assert [queue.take() for _ in range(2)] == [(1, 0), (0, 1)]


def test_a_success_cancels_later_items_only():
    queue = Queue(np.ones((1, 4), bool))
    first, second, third = (queue.take() for _ in range(3))
    queue.settle(second, won=True)
    assert queue.winner(0) == 1 and queue.left == 1
    assert queue.wanted(first) and not queue.wanted(third)
    queue.drop(third)
    assert queue.take() is None
    queue.settle(first, won=True)
    assert queue.winner(0) == 0 and queue.left == 0


def test_interrupted_items_start_again():
    queue = Queue(np.ones((1, 2), bool))
    first = queue.take()
    queue.put_back(first)
    assert queue.left == 2 and queue.take() == first


def test_items_of_an_earlier_session_are_not_run_again():
    queue = Queue(np.ones((2, 2), bool))
    queue.settle(Item(0, 0), won=False)
    queue.settle(Item(1, 0), won=True)
    assert queue.left == 1 and queue.take() == (0, 1) and queue.take() is None


def test_places_that_are_not_allowed_are_skipped():
    queue = Queue(np.array([[False, True], [False, False]]))
    assert queue.left == 1
    assert queue.take() == (0, 1) and queue.take() is None


@given(st.data())
def test_any_schedule_finds_the_earliest_success_of_each_example(data):
    """Whatever ends first, and however many slots there are."""
    rows, places = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    grid = st.lists(st.booleans(), min_size=rows * places, max_size=rows * places)
    allowed = np.array(data.draw(grid)).reshape(rows, places)
    succeeds = np.array(data.draw(grid)).reshape(rows, places)
    slots = data.draw(st.integers(1, 8))
    queue, running, started = Queue(allowed), [], []
    while queue.left:
        while len(running) < slots and (item := queue.take()) is not None:
            running.append(item)
            started.append(item)
        item = running.pop(data.draw(st.integers(0, len(running) - 1)))
        if queue.wanted(item):
            queue.settle(item, bool(succeeds[item]))
        else:
            queue.drop(item)
    assert len(set(started)) == len(started) and all(allowed[i] for i in started)
    for row in range(rows):
        wins = np.flatnonzero(allowed[row] & succeeds[row])
        assert queue.winner(row) == (wins[0] if len(wins) else None)
        before = range(wins[0] + 1 if len(wins) else places)
        assert {(row, p) for p in before if allowed[row, p]} <= set(started)


@pytest.mark.parametrize("slots", [1, 3])
def test_nothing_runs_in_vain_with_as_many_slots_as_examples(slots):
    """One slot per example: every item that ran was wanted to its end."""
    queue, succeeds = Queue(np.ones((slots, 4), bool)), np.zeros((slots, 4), bool)
    succeeds[:, 2] = True
    count = 0
    while queue.left:
        items = [queue.take() for _ in range(slots)]
        for item in items:
            assert queue.wanted(item)
            queue.settle(item, bool(succeeds[item]))
            count += 1
    assert count == 3 * slots
