"""When an attack is done: at a success, of which a tie is one, or without budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core.types import Incumbent, Untargeted

THREAT = threats.Linf(0.1)


@pytest.mark.parametrize(
    ("margin", "i", "is_done"),
    [
        (-0.5, 0, False),
        (-1e-30, 3, False),
        (0.0, 0, True),  # A tie is lost.
        (0.5, 1, True),
        (-0.5, 4, True),  # Three steps and the last look are the budget.
        (-0.5, 3, False),
    ],
)
def test_done_at_a_success_or_when_the_budget_is_used(margin, i, is_done):
    attack, x = attacks.bim(3), jnp.zeros(2)
    state = attack.init(jax.random.key(0), THREAT, x, Untargeted(0), jnp.zeros(2))
    best = Incumbent(x, jnp.float32(margin), jnp.float32(0))
    state = state._replace(best=best, i=jnp.int32(i))
    assert attack.done(THREAT, state) == is_done
    assert attack.finish(THREAT, state).margin == np.float32(margin)
