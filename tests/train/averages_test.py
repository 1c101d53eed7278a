"""Averages of weights beside float64 recursions, driven by training steps."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax.train import averages, loop
from robust_jax.train.state import Aux, Batch, Learner, new_state

N = 12
TARGETS = np.random.default_rng(0).normal(size=(N, 3))
FIRST = np.array([4.0, -2.0, 1.0])


def objective(variables, batch, key, step):
    """A bowl whose middle jumps; statistics follow it; a counter counts."""
    middle = jnp.asarray(TARGETS, jnp.float32)[step]
    stats = variables["batch_stats"]
    stats = {"mean": 0.5 * stats["mean"] + middle, "count": stats["count"] + 1}
    loss = jnp.sum((variables["params"] - middle) ** 2)
    return loss, Aux({}, {**variables, "batch_stats": stats})


def oracle(rule):
    """All averages of a float64 training; rule: (average, live, step) -> average."""
    params, mean = FIRST.copy(), np.zeros(3)
    average, path = (params, mean), []
    for step in range(N):
        params = params - 0.1 * 2 * (params - TARGETS[step])
        mean = 0.5 * mean + TARGETS[step]
        average = tuple(
            rule(a, x, step) for a, x in zip(average, (params, mean), strict=True)
        )
        path.append(average)
    return path


def ema(decay, warm_up, first_step):
    def rule(average, live, step):
        t = step + 1 - first_step
        if t < 1:
            return live
        keep = min(decay, (1 + t) / (10 + t)) if warm_up else decay
        return keep * average + (1 - keep) * live

    return oracle(rule)


def swa(first_step, every):
    params, mean, nets, path = FIRST.copy(), np.zeros(3), [], []
    if first_step == 0:
        nets.append((params, mean))
    for done in range(1, N + 1):
        params = params - 0.1 * 2 * (params - TARGETS[done - 1])
        mean = 0.5 * mean + TARGETS[done - 1]
        if done >= first_step and (done - first_step) % every == 0:
            nets.append((params, mean))
        path.append(tuple(np.mean(nets, 0)) if nets else (params, mean))
    return path


RULES = {
    "ema": (averages.ema(0.6), ema(0.6, True, 0)),
    "constant": (averages.ema(0.8, warm_up=False), ema(0.8, False, 0)),
    "late": (averages.ema(0.3, first_step=4), ema(0.3, True, 4)),
    "swa": (averages.swa(3), swa(3, 1)),
    "seldom": (averages.swa(2, 4), swa(2, 4)),
    "whole": (averages.swa(0, 3), swa(0, 3)),
}


@functools.cache
def trained():
    """The averages after every step."""
    rules = tuple((name, rule) for name, (rule, _) in RULES.items())
    learner = Learner(objective, optax.sgd(0.1), rules)
    stats = {"mean": jnp.zeros(3), "count": jnp.zeros((), jnp.int32)}
    variables = {"params": jnp.asarray(FIRST, jnp.float32), "batch_stats": stats}
    state, path = new_state(learner, variables), []
    step = jax.jit(functools.partial(loop.train_step, learner))
    batch = Batch(jnp.zeros((1, 1)), jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))
    for _ in range(N):
        state, _ = step(state, batch, jax.random.key(0))
        path.append((state.averages, state.variables))
    return path


@pytest.mark.parametrize("name", RULES)
def test_averages_are_the_recursions_in_float64(name):
    for (found, _), expected in zip(trained(), RULES[name][1], strict=True):
        average = found[name]
        np.testing.assert_allclose(average["params"], expected[0], rtol=1e-5, atol=1e-6)
        stats = average["batch_stats"]
        np.testing.assert_allclose(stats["mean"], expected[1], rtol=1e-5, atol=1e-6)


def test_before_its_first_step_an_average_is_the_live_net():
    for found, live in trained()[:2]:
        for name in ("late", "swa"):
            jax.tree.map(np.testing.assert_array_equal, found[name], live)
    found, live = trained()[-1]
    assert np.abs(found["late"]["params"] - live["params"]).max() > 1e-2


def test_integers_are_copied():
    for done, (found, _) in enumerate(trained(), 1):
        for average in found.values():
            assert average["batch_stats"]["count"] == done
            assert average["batch_stats"]["count"].dtype == jnp.int32


def test_a_bank_is_its_rules_by_name():
    (first, rule), (second, _) = averages.bank((0.9, 0.995), first_step=2)
    assert (first, second) == ("ema_0.9", "ema_0.995")
    old, new = {"w": jnp.array([1.0])}, {"w": jnp.array([3.0])}
    for step in (0, 2, 200):
        alone = averages.ema(0.9, first_step=2)(old, new, step)
        np.testing.assert_array_equal(rule(old, new, step)["w"], alone["w"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: averages.ema(1.0), "decay=1.0; expected a number in (0, 1)"),
        (lambda: averages.ema(0.9, first_step=-1), "first_step=-1; expected an"),
        (lambda: averages.swa(1, 0), "every=0; expected an integer >= 1"),
        (lambda: averages.bank(()), "decays=(); expected different ones"),
        (lambda: averages.bank((0.9, 0.9)), "decays=(0.9, 0.9); expected"),
    ],
)
def test_bad_arguments_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
