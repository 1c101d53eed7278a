"""Compiled attacks for tests: compiling is what costs, so it is quick and done once."""

import functools

import jax

from robust_jax.core import drive, lift


@functools.cache
def to_the_end(attack):
    """(keys, model, threat, x, goal) -> results of a batch, to the budget's end."""
    run = lift.over_examples(drive.run(attack, to_the_end=True))
    return jax.jit(run)
