"""The cost of training steps in closed form."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from robust_jax import attacks, models, threats, train
from robust_jax.core import flops
from robust_jax.train import cost, perturbations
from robust_jax.train.state import Batch, Learner, new_state

B = 6
NET = models.DigitsCNN(num_classes=10)
APPLY = models.ApplyMode(NET)
FIRST = 2 * 8 * 8 * 32 * 9  # The first layer's forward pass, a matmul of patches.


@functools.cache
def variables():
    return models.init(NET, jax.random.key(0), (8, 8, 1))


def cost_of(objective):
    labels = jnp.zeros(B, jnp.int32)
    batch = Batch(jnp.zeros((B, 8, 8, 1)), labels, labels)
    learner = Learner(objective, optax.sgd(0.1))
    return cost.step_cost(learner, new_state(learner, variables()), batch, NET)


def threat_fn(step):
    return threats.Linf(0.1)


def pgd(steps):
    return train.adversarial(APPLY, attacks.pgd(steps), threat_fn)


def trades(steps):
    return train.trades(APPLY, perturbations.pgd_kl(steps), threat_fn)


@pytest.mark.parametrize(
    ("objective", "forwards", "firsts"),
    [
        (train.standard(APPLY), 3, 1),
        (pgd(1), 2 + 3, 1),
        (pgd(7), 2 * 7 + 3, 1),
        (pgd(40), 2 * 40 + 3, 1),
        # The clean logits of attack and loss are two passes.
        (trades(1), 1 + 2 + 2 * 3, 2),
        (trades(10), 1 + 2 * 10 + 2 * 3, 2),
        (train.awp(pgd(7)), 2 * 7 + 2 * 3, 2),
    ],
)
def test_a_step_costs_its_passes(objective, forwards, firsts):
    found = cost_of(objective)
    one = flops.exact(NET.apply, variables(), jnp.zeros((8, 8, 1)))
    assert found.forward_flops == one > FIRST
    assert found.flops == B * (forwards * one - firsts * FIRST)
    expected = forwards - firsts * FIRST / one
    assert found.forwards_per_image == pytest.approx(expected, rel=1e-12)
    assert found.flops_per_image == found.flops / B
