"""What attacks hand to an estimator of the gradient: a fresh key at each step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.gradients.estimator import Gradient, exact
from robust_jax.core.types import Towards
from tests import victims

STEPS = 3
MODEL = victims.affine_victim((4,), 4)
X = jnp.full(4, 0.5)


def spying():
    """The gradient itself; its memory is the key of the last look."""

    def estimate(query, memory):
        return exact().estimate(query, ())[0], jax.random.key_data(query.key)

    return Gradient(lambda x: jnp.zeros(2, jnp.uint32), estimate, 1, 1)


@pytest.mark.parametrize(
    ("make", "threat"),
    [
        (attacks.bim, threats.Linf(0.1)),
        (attacks.apgd, threats.Linf(0.1)),
        (attacks.apgd_l1, threats.L1(0.1)),
        (attacks.fmn, threats.L2(np.inf)),
        (attacks.deepfool, threats.L2(np.inf)),
    ],
    ids=["bim", "apgd", "apgd_l1", "fmn", "deepfool"],
)
def test_each_step_has_a_key_of_its_own_which_is_not_the_starts(make, threat):
    attack, key = make(gradient=spying()), jax.random.key(0)
    state = attack.init(key, threat, X, Towards(0, 1), jnp.zeros(2))
    step, seen = jax.jit(attack.step), [jax.random.key_data(key)]
    for _ in range(STEPS):
        state = step(MODEL, threat, state)
        seen.append(state.memory)
    assert len(np.unique(seen, axis=0)) == 1 + STEPS
