"""A text whose words keep company, and its NPMI counted word by word."""

import math

SENTENCES = [["a", "b", "c"], ["a", "b", "d"], ["x", "y", "c"], ["c", "a", "b", "x"]]
SENTENCES[3].insert(1, "d")


def npmi(first: str, second: str, window: int) -> float:
    """Of two words, by every ordered pair of near places."""
    pairs = [
        (a, b)
        for sentence in SENTENCES
        for i, a in enumerate(sentence)
        for j, b in enumerate(sentence)
        if 0 < abs(i - j) <= window
    ]
    joint = pairs.count((first, second)) / len(pairs)
    apart = [sum(a == w for a, _ in pairs) / len(pairs) for w in (first, second)]
    return math.log(joint / (apart[0] * apart[1])) / -math.log(joint)
