"""The cost of training steps in closed form."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from robust_jax import attacks, models, threats, train
from robust_jax.core import flops
from robust_jax.train import cost, loop, perturbations
from robust_jax.train.state import Batch, Learner, new_state

B = 6
NET = models.DigitsCNN(num_classes=10)
APPLY = models.ApplyMode(NET)
FIRST = 2 * 8 * 8 * 32 * 9  # The first layer's forward pass, a matmul of patches.


@functools.cache
def variables():
    shapes = models.functional.abstract_variables(NET, (8, 8, 1))
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes)


def problem(made):
    objective, memory = (
        made if isinstance(made, train.StatefulObjective) else (made, None)
    )
    labels = jnp.zeros(B, jnp.int32)
    batch = Batch(jnp.zeros((B, 8, 8, 1)), labels, labels)
    averages = (*train.bank((0.9, 0.99)), ("swa", train.swa(3)))
    learner = Learner(objective, optax.sgd(0.1), averages, memory)
    return learner, new_state(learner, variables()), batch


def cost_of(made):
    return cost.step_cost(*problem(made), NET)


def threat_fn(step):
    return threats.Linf(0.1)


def pgd(steps):
    return train.adversarial(APPLY, attacks.pgd(steps), threat_fn)


def trades(steps):
    return train.trades(APPLY, perturbations.pgd_kl(steps), threat_fn)


def free():
    return train.free_adversarial(APPLY, threat_fn, batch_size=B, shape=(8, 8, 1))


def pool(replaced, taken):
    attack, sizes = attacks.pgd(5), {"replaced": replaced, "taken": taken}
    return train.pooled(APPLY, attack, threat_fn, shape=(8, 8, 1), size=9, **sizes)


def ensemble(sources):
    source = models.logits_fn(NET, variables())
    attack = attacks.pgd(5)
    return train.ensemble_adversarial(APPLY, [source] * sources, attack, threat_fn)


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
        (free(), 3, 0),
        (pool(B, B), 2 * 5 + 2 * 3, 2),
        (pool(B // 2, B // 3), 2 * 5 / 2 + 3 + 3 / 3, 1 + 1 / 3),
        # However many sources: one is attacked.
        (ensemble(1), 2 * 5 + 2 * 3, 2),
        (ensemble(3), 2 * 5 + 2 * 3, 2),
    ],
)
def test_a_step_costs_its_passes(objective, forwards, firsts):
    found = cost_of(objective)
    one = flops.exact(NET.apply, variables(), jnp.zeros((8, 8, 1)))
    assert found.forward_flops == one > FIRST
    assert found.flops == pytest.approx(B * (forwards * one - firsts * FIRST), 1e-12)
    expected = forwards - firsts * FIRST / one
    assert found.forwards_per_image == pytest.approx(expected, rel=1e-12)
    assert found.flops_per_image == found.flops / B


@pytest.mark.parametrize("made", [free, functools.partial(pool, 3, 4)])
def test_an_epoch_can_carry_memory_and_averages_through_a_scan(made):
    learner, state, batch = problem(made())

    def epoch(state):
        step = lambda state, key: loop.train_step(learner, state, batch, key)  # noqa: E731
        return jax.lax.scan(step, state, jax.random.split(jax.random.key(0), 5))[0]

    found = jax.eval_shape(epoch, state)
    same = lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype)  # noqa: E731
    assert all(jax.tree.leaves(jax.tree.map(same, found, state)))
