"""What a study has to find: a value between two bounds."""

import math
from typing import NamedTuple

DIGITS, MNIST = ("digits",), ("mnist",)
BOTH = DIGITS + MNIST
PLANTED, TEXT = ("planted", *BOTH), ("text", "text beside gensim")  # Of words.


class Gate(NamedTuple):
    """A value of a study has to lie between two bounds."""

    study: str
    value: str  # as the study names it
    low: float = -math.inf
    high: float = math.inf
    datasets: tuple[str, ...] = BOTH
    paper: str = "-"  # the same in the paper, where it tells
