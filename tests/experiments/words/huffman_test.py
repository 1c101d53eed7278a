"""The tree of the hierarchical softmax."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from experiments.studies import words


def cheapest(counts):
    """The least total length that a prefix code can have."""
    heap, cost = sorted(counts), 0
    while len(heap) > 1:
        first, second, *heap = heap
        heap, cost = sorted([*heap, first + second]), cost + first + second
    return cost


@given(st.lists(st.integers(1, 50), min_size=2, max_size=30))
def test_codes_are_the_shortest_and_no_ones_beginning(counts):
    made = words.tree(counts)
    assert (np.asarray(counts) * made.lengths).sum() == cheapest(counts)
    codes = [
        tuple(turns[:length].astype(int))
        for turns, length in zip(made.turns, made.lengths, strict=True)
    ]
    for i, code in enumerate(codes):
        for other in codes[:i] + codes[i + 1 :]:
            assert other[: len(code)] != code


@given(st.lists(st.integers(1, 50), min_size=2, max_size=30))
def test_a_node_is_a_beginning_of_a_code(counts):
    made = words.tree(counts)
    begun = {}
    for nodes, turns, length in zip(*made, strict=True):
        assert nodes[0] == len(counts) - 2
        for step in range(length):
            assert begun.setdefault(nodes[step], tuple(turns[:step])) == tuple(
                turns[:step]
            )
    assert len(set(begun.values())) == len(begun) == len(counts) - 1


def test_the_rarer_side_turns():
    made = words.tree([1, 5])
    np.testing.assert_array_equal(made.turns, [[1], [0]])


def test_one_word_has_no_tree():
    with pytest.raises(ValueError, match="counts has 1 words"):
        words.tree([3])
