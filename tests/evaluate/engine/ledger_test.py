"""What the items of a stage found: the earliest success's example, and its cost."""

import numpy as np
import pytest

from robust_jax.evaluate.engine import Item, Ledger

PLACES = 4
COSTS = [(3, 2), (5, 4), (7, 6), (9, 8)]  # Forwards and backwards at each place.


def ended(order, successes):
    """Ledger of one example whose items end in this order."""
    found = Ledger.nothing(2, PLACES)
    for place in order:
        won = place in successes
        x_adv = np.full(3, place) if won else None
        found.add(Item(1, place), 1.0 if won else -1.0, COSTS[place], x_adv)
    return found


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1)])
def test_the_example_is_that_of_the_earliest_success_whatever_ended_first(order):
    found = ended(order, successes={1, 2})
    assert list(found.x_adv) == [1]
    place, x_adv = found.x_adv[1]
    assert place == 1
    np.testing.assert_array_equal(x_adv, 1)
    np.testing.assert_array_equal(found.margin[1], [-1, 1, 1, -1])
    assert np.isnan(found.margin[0]).all()


def test_useful_cost_is_that_of_the_items_up_to_the_winner_which_counts():
    np.testing.assert_array_equal(ended(range(4), {1, 2}).useful(), [[0, 0], [8, 6]])
    np.testing.assert_array_equal(ended(range(4), {0}).useful(), [[0, 0], [3, 2]])
    np.testing.assert_array_equal(ended(range(4), ()).useful(), [[0, 0], [24, 20]])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
def test_the_journal_keeps_an_example_with_its_own_item_alone(order):
    """Else an item that failed would be a success to the session that goes on."""
    attacked, kept = np.array([8, 9]), {}
    found = Ledger.nothing(2, PLACES)
    for place in order:
        won = place == 1
        example = np.full(3, place) if won else None
        found.add(Item(1, place), float(won) - 0.5, COSTS[place], example)
        kept[place] = found.entry(Item(1, place), 4, int(attacked[1]))
    for place, entry in kept.items():
        assert entry[:3] == (4, 9, place)
        assert (entry.forwards, entry.backwards) == COSTS[place]
        assert (entry.x_adv is None) == (place != 1) == (entry.margin < 0)
