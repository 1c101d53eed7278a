"""Compiled attacks for tests: compiling is what costs, so programs are shared."""

import jax
import jax.numpy as jnp

from robust_jax.core import drive, factories


def to_the_end(attack):
    """(keys, model, threat, x, goal) -> results of a batch, to the budget's end."""
    return drive.traced(attack, to_the_end=True)


@jax.jit
def _init(attack, key, threat, x, goal):
    return attack.init(key, threat, x, goal, jnp.zeros(2))


@jax.jit
def _step(attack, model, threat, state):
    return attack.step(model, threat, state)


def init(attack, *arguments):
    """The first state of one example, of (key, threat, x, goal), of logits zero."""
    return _init(factories.as_product(attack), *arguments)


def step(attack, model, *arguments):
    """The next state, of (threat, state)."""
    return _step(factories.as_product(attack), drive.as_partial(model), *arguments)
