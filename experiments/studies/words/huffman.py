"""The tree of the hierarchical softmax: frequent words have short paths (host)."""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Tree(NamedTuple):
    """For each of V words its path from the root, padded to the longest, L steps."""

    nodes: NDArray[np.int32]  # [V, L], inner nodes, V - 1 of them; the root is the last
    turns: NDArray[np.float32]  # [V, L], 1 to the rarer side, else 0
    lengths: NDArray[np.int32]  # [V]


def tree(counts: ArrayLike) -> Tree:
    """Huffman's tree of words with these counts.

    Of equal counts the earlier word, and a word before an inner node, is joined first.

    Args:
        counts: how often each word occurs, shape [V], V >= 2.
    Raises: ValueError: fewer than two words.
    References: Huffman, "A method for the construction of minimum-redundancy codes",
        1952; Mikolov et al., "Efficient estimation of word representations in vector
        space", 2013, Sec. 2.
    """
    weights = [int(count) for count in np.asarray(counts)]
    if len(weights) < 2:
        raise ValueError(f"counts has {len(weights)} words; expected at least two")
    size = len(weights)
    heap = [(weight, i) for i, weight in enumerate(weights)]
    heapq.heapify(heap)
    parents, turns = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, np.int8)
    for node in range(size, 2 * size - 1):
        first, left = heapq.heappop(heap)
        second, right = heapq.heappop(heap)
        parents[[left, right]], turns[left] = node, 1
        heapq.heappush(heap, (first + second, node))
    return _paths(parents, turns, size)


def _paths(parents, turns, size):
    root, depth = 2 * size - 2, np.zeros(2 * size - 1, np.int32)
    for node in range(root - 1, -1, -1):  # Parents come after their children.
        depth[node] = depth[parents[node]] + 1
    lengths = depth[:size]
    nodes = np.zeros((size, lengths.max()), np.int32)
    sides = np.zeros(nodes.shape, np.float32)
    below = np.arange(size)
    for _ in range(lengths.max()):
        at = np.flatnonzero(below != root)
        child = below[at]
        step = depth[child] - 1
        nodes[at, step], sides[at, step] = parents[child] - size, turns[child]
        below[at] = parents[child]
    return Tree(nodes, sides, lengths)
