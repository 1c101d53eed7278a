"""Free adversarial training beside a float64 loop, and what its step costs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, models, threats, train
from robust_jax.core import flops
from robust_jax.train import combinators, free, loop
from robust_jax.train.state import Learner, new_state
from tests.reference import pair_losses
from tests.train import tanh_net

APPLY, EPS, RATE, REPLAYS = tanh_net.apply_fn, 0.2, 0.3, 4
B, SHAPE, W, BATCH = tanh_net.B, tanh_net.SHAPE, tanh_net.weights(), tanh_net.batch()
VARIABLES = tanh_net.variables(W)
Y = np.asarray(BATCH.labels)
BATCHES = [BATCH, BATCH._replace(images=jnp.asarray(tanh_net.images(seed=4)))]
SIZES = {"batch_size": B, "shape": SHAPE}


def threat_fn(step):
    return threats.Linf(EPS)


def loss_of(w, x):
    return pair_losses.cross_entropy(pair_losses.net(w, x), Y).mean()


def step_by_hand(w, delta, x, relative_step):
    x_adv = np.clip(x + np.clip(delta, -EPS, EPS), 0, 1)
    uphill = pair_losses.gradient(lambda v: loss_of(w, v["x"]), {"x": x_adv})
    down = pair_losses.gradient(lambda w: loss_of(w, x_adv), w)
    moved = x_adv + relative_step * EPS * np.sign(uphill["x"])
    delta = np.clip(np.clip(moved, x - EPS, x + EPS), 0, 1) - x
    return {name: w[name] - RATE * down[name] for name in w}, delta


def oracle(relative_step):
    """Weights and delta after every step: two batches, each `REPLAYS` times."""
    w, delta, path = dict(W), np.zeros((B, *SHAPE)), []
    for batch in BATCHES:
        x = np.asarray(batch.images, np.float64)
        for _ in range(REPLAYS):
            w, delta = step_by_hand(w, delta, x, relative_step)
            path.append((w, delta))
    return path


def learner_of(made):
    return Learner(made.objective, optax.sgd(RATE), memory=made.memory)


@pytest.mark.parametrize("relative_step", [1.0, 0.4])
def test_replays_are_the_loop_in_float64(relative_step):
    made = free.free_adversarial(APPLY, threat_fn, **SIZES, relative_step=relative_step)
    learner = learner_of(made)
    step = jax.jit(functools.partial(loop.train_step, learner))
    state, expected = new_state(learner, VARIABLES), iter(oracle(relative_step))
    for batch in BATCHES:
        for _ in range(REPLAYS):
            state, _ = step(state, batch, jax.random.key(0))
            w, delta = next(expected)
            np.testing.assert_allclose(state.memory, delta, atol=1e-5)
            for name, found in state.variables["params"].items():
                np.testing.assert_allclose(found, w[name], rtol=1e-5, atol=1e-5)
    assert np.abs(state.memory).max() > 0.9 * min(1, relative_step) * EPS


def test_deltas_carry_over_and_stay_in_the_threat_set():
    made = free.free_adversarial(APPLY, threat_fn, **SIZES)
    full = jnp.full((B, *SHAPE), EPS)
    for batch in BATCHES:
        batch = batch._replace(memory=full)
        _, aux, _ = tanh_net.value_and_gradient(made.objective, VARIABLES, batch)
        x = np.asarray(batch.images)
        np.testing.assert_allclose(aux.attacked, np.minimum(x + EPS, 1), atol=1e-6)
        for delta in (aux.memory, aux.attacked - x):
            assert np.abs(delta).max() <= EPS + 1e-6
            assert (x + delta).min() >= -1e-6 and (x + delta).max() <= 1 + 1e-6
    assert (x + EPS).max() > 1  # The box cuts.


def test_loss_and_gradient_are_those_of_constant_images():
    made = free.free_adversarial(APPLY, threat_fn, **SIZES, smoothing=0.1)
    rng = np.random.default_rng(0)
    delta = jnp.asarray(rng.uniform(-EPS, EPS, (B, *SHAPE)), jnp.float32)
    remembering = BATCH._replace(memory=delta)
    loss, aux, grads = tanh_net.value_and_gradient(
        made.objective, VARIABLES, remembering
    )
    there = BATCH._replace(images=aux.attacked)
    clean = train.standard(APPLY, smoothing=0.1)
    expected = tanh_net.value_and_gradient(clean, VARIABLES, there)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-6)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[2][name], atol=1e-6)
    # The gradient found is linear: half of a mixture is half of it.
    half = combinators.mixed(made.objective, clean, 0.5)
    mixture = tanh_net.value_and_gradient(half, VARIABLES, remembering)
    own = tanh_net.value_and_gradient(clean, VARIABLES, BATCH)
    for name, gradient in mixture[2].items():
        expected = 0.5 * grads[name] + 0.5 * own[2][name]
        np.testing.assert_allclose(gradient, expected, atol=1e-6)
    np.testing.assert_allclose(mixture[1].memory, aux.memory, atol=1e-6)


def test_gradient_entries_without_a_number_leave_delta_alone():
    start = tanh_net.first_pixel_zero(BATCH)._replace(memory=jnp.zeros((B, *SHAPE)))
    made = free.free_adversarial(tanh_net.rooted, threat_fn, **SIZES)
    loss, aux, _ = tanh_net.value_and_gradient(made.objective, VARIABLES, start)
    assert np.isfinite(loss)
    np.testing.assert_array_equal(aux.memory[:, 0, 0, 0], 0)
    moved = np.abs(np.asarray(aux.memory).reshape(B, -1)[:, 1:])
    assert moved.max(axis=1).min() > 0.9 * EPS


def test_at_moved_weights_the_images_are_those_found_before():
    made = free.free_adversarial(APPLY, threat_fn, **SIZES)
    start = BATCH._replace(memory=jnp.full((B, *SHAPE), 0.05))
    plain = tanh_net.value_and_gradient(made.objective, VARIABLES, start)
    sam = tanh_net.value_and_gradient(
        combinators.sam(made.objective, 0.3), VARIABLES, start
    )
    np.testing.assert_allclose(sam[1].attacked, plain[1].attacked, atol=1e-6)
    assert sam[0] > plain[0] + 1e-2


def test_a_step_is_one_forward_and_one_backward_pass():
    net, n, shape = models.MLP(num_classes=4, hidden=(64, 64)), 16, (8, 8, 1)
    apply_fn, key = models.ApplyMode(net), jax.random.key(0)
    variables = models.init(net, key, shape)
    labels = jnp.zeros(n, jnp.int32)
    batch = BATCH._replace(images=jnp.zeros((n, *shape)), labels=labels)
    batch = batch._replace(positions=labels)

    def costs(objective, memory=None):
        learner = Learner(objective, optax.sgd(RATE), memory=memory)
        state = new_state(learner, variables)
        step = functools.partial(loop.train_step, learner)
        compiled = jax.jit(step).lower(state, batch, key).compile()
        return flops.exact(step, state, batch, key), compiled.cost_analysis()["flops"]

    clean = costs(train.standard(apply_fn))
    fgsm = costs(train.adversarial(apply_fn, attacks.fgsm(), threat_fn))
    written, compiled = costs(
        *free.free_adversarial(apply_fn, threat_fn, batch_size=n, shape=shape)
    )
    first = 2 * n * 64 * 64  # Beyond clean training: its input gradient alone.
    assert written == clean[0] + first
    assert compiled == pytest.approx(clean[1] + first, rel=0.1)
    assert fgsm[0] > 1.5 * written and fgsm[1] > 1.4 * compiled


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: free.free_adversarial(APPLY, threat_fn, batch_size=0, shape=SHAPE),
            "batch_size=0; expected an integer >= 1",
        ),
        (
            lambda: free.free_adversarial(APPLY, threat_fn, **SIZES, relative_step=0.0),
            "relative_step=0.0; expected a finite number > 0",
        ),
        (
            lambda: free.free_adversarial(
                APPLY, threat_fn, batch_size=3, shape=SHAPE
            ).objective(
                VARIABLES, BATCH._replace(memory=jnp.zeros((3, *SHAPE))), None, 0
            ),
            "images.shape=(5, 2, 2, 1); expected (3, 2, 2, 1), batch_size and",
        ),
        (
            lambda: free.free_adversarial(APPLY, threat_fn, **SIZES).objective(
                VARIABLES, BATCH, None, 0
            ),
            "batch.memory=None; expected what the objective keeps between steps",
        ),
    ],
)
def test_bad_arguments_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
