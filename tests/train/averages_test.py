"""Averages beside sums in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax.train import averages

T = 12
WALK = np.random.default_rng(0).normal(size=(T + 1, 3)).cumsum(axis=0)


def net(t):
    """The variables after t steps, statistics and a count among them."""
    w = jnp.asarray(WALK[t], jnp.float32)
    return {"params": {"w": w}, "batch_stats": {"mean": 2 * w, "count": jnp.int32(t)}}


def run(average):
    """The averages after steps 1 to T."""
    found, step_fn = [net(0)], jax.jit(average)
    for t in range(1, T + 1):
        found.append(step_fn(found[-1], net(t), jnp.asarray(t - 1, jnp.int32)))
    for t, each in enumerate(found):
        weights, statistics = each["params"]["w"], each["batch_stats"]
        np.testing.assert_allclose(statistics["mean"], 2 * weights, rtol=1e-5)
        assert statistics["count"] == t
    return np.stack([each["params"]["w"] for each in found])


@pytest.mark.parametrize("warm_up", [True, False])
def test_ema_forgets_by_its_decay(warm_up):
    expected = [WALK[0]]
    for t in range(1, T + 1):
        decay = min(0.6, (1 + t) / (10 + t)) if warm_up else 0.6
        expected.append(decay * expected[-1] + (1 - decay) * WALK[t])
    found = run(averages.ema(0.6, warm_up=warm_up))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("first", "every"), [(4, 1), (4, 3), (1, 5), (20, 2)])
def test_swa_is_the_mean_of_some_nets(first, every):
    found = run(averages.swa(first, every))
    for t in range(1, T + 1):
        counted = WALK[first : t + 1 : every]
        expected = counted.mean(axis=0) if t >= first else WALK[t]
        np.testing.assert_allclose(found[t], expected, rtol=1e-5, atol=1e-5)


def test_a_bank_is_its_averages_by_name():
    bank = dict(averages.bank((0.9, 0.995)))
    assert list(bank) == ["ema_0.9", "ema_0.995"]
    np.testing.assert_array_equal(run(bank["ema_0.9"]), run(averages.ema(0.9)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: averages.ema(1.0), r"decay=1.0; expected a number in \(0, 1\)"),
        (lambda: averages.swa(0), "first_step=0; expected an integer >= 1"),
        (lambda: averages.swa(1, 0), "every=0; expected an integer >= 1"),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
