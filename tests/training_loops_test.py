"""Loops of docs/training-loops.md run as printed; their changes make them robust."""

import numpy as np
import pytest

import robust_jax as rj
from tests import pages

BLOCKS = pages.blocks("docs/training-loops.md")
SETTING, *LOOPS = (block.text for block in BLOCKS if block.kind == "python")
CHANGES = [block.text for block in BLOCKS if block.kind == "diff"]
KINDS = ("Linen", "NNX", "Equinox")


def changed(loop, change):
    """A loop with the lines of a diff in the place of those that it takes out."""
    lines = change.splitlines(keepends=True)
    old, new = ("".join(n[1:] for n in lines if n[0] == sign) for sign in "-+")
    assert loop.count(old) == 1
    return loop.replace(old, new)


def robust_accuracy(loop):
    exec(SETTING, names := {})
    exec(loop, names)
    data = rj.datasets.load("digits", "test").take(np.arange(100))
    found = rj.attack(
        rj.attacks.pgd(10, 0.25),
        names["model"],
        data.pixels(),
        data.labels,
        rj.threats.Linf(0.15),
    )
    return float(np.mean(found.margin < 0))


def test_there_is_a_change_of_at_most_five_lines_for_each():
    assert len(LOOPS) == len(CHANGES) == len(KINDS)
    for change in CHANGES:
        assert len(change.splitlines()) <= 5
        assert max(map(len, change.splitlines())) <= 90


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=KINDS)
def test_a_loop_becomes_robust(kind):
    plain = robust_accuracy(LOOPS[kind])
    robust = robust_accuracy(changed(LOOPS[kind], CHANGES[kind]))
    assert robust > plain + 0.2
