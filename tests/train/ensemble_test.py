"""Ensemble adversarial training beside sources by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, threats, train
from robust_jax.train import ensemble, loop
from robust_jax.train.state import Learner, new_state
from tests.reference import pair_losses
from tests.train import tanh_net

APPLY, EPS = tanh_net.apply_fn, 0.2
W, BATCH = tanh_net.weights(), tanh_net.batch()
VARIABLES = tanh_net.variables(W)
X, Y = np.asarray(BATCH.images, np.float64), np.asarray(BATCH.labels)
OTHERS = [tanh_net.weights(seed) for seed in (5, 6)]
KEYS = [jax.random.key(seed) for seed in range(12)]


def threat_fn(step):
    return threats.Linf(EPS)


def source(w):
    variables = tanh_net.variables(w)
    return lambda x: APPLY(variables, x, "eval")[0]


def made(sources, attack=attacks.fgsm(), **options):  # noqa: B008
    return ensemble.ensemble_adversarial(APPLY, sources, attack, threat_fn, **options)


def by_hand(w):
    """One full step uphill for a net."""
    examples = lambda v: pair_losses.cross_entropy(pair_losses.net(w, v["x"]), Y).sum()  # noqa: E731
    uphill = pair_losses.gradient(examples, {"x": X})["x"]
    return np.clip(X + EPS * np.sign(uphill), 0, 1)


def loss_of(w, x):
    return pair_losses.cross_entropy(pair_losses.net(w, x), Y).mean()


@functools.cache
def runs():
    """Loss, images and gradient for every key."""
    objective = made([source(w) for w in OTHERS], clean_share=0.3)

    @jax.jit
    def run(params, key):
        full = lambda p: objective({"params": p}, BATCH, key, 0)  # noqa: E731
        (loss, aux), grads = jax.value_and_grad(full, has_aux=True)(params)
        return loss, aux.attacked[0], grads

    return [run(VARIABLES["params"], key) for key in KEYS]


def test_every_batch_is_attacked_by_one_net_and_all_take_their_turn():
    expected = [by_hand(w) for w in (W, *OTHERS)]
    drawn = []
    for _, x_adv, _ in runs():
        fits = [np.abs(x_adv - x).max() < 1e-5 for x in expected]
        assert sum(fits) == 1
        drawn.append(fits.index(True))
    assert set(drawn) == {0, 1, 2}


def test_loss_and_gradient_mix_clean_and_adversarial_images():
    for loss, x_adv, grads in runs()[:4]:
        x_adv = np.asarray(x_adv, np.float64)
        oracle = lambda w, x=x_adv: 0.7 * loss_of(w, x) + 0.3 * loss_of(w, X)  # noqa: E731
        np.testing.assert_allclose(loss, oracle(W), rtol=1e-5)
        expected = pair_losses.gradient(oracle, W)
        for name, gradient in grads.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=1e-5, atol=1e-5)


def test_without_sources_it_is_adversarial_training():
    attack = attacks.pgd(2, 0.6)
    clean = train.standard(APPLY)
    adversarial = train.adversarial(APPLY, attack, threat_fn)
    states = []
    for objective in (made((), attack), train.mixed(adversarial, clean, 0.5)):
        learner = Learner(objective, optax.sgd(0.3))
        step = jax.jit(functools.partial(loop.train_step, learner))
        state = new_state(learner, VARIABLES)
        for key in KEYS[:2]:
            state, _ = step(state, BATCH, key)
        states.append(state.variables["params"])
    for name, found in states[0].items():
        np.testing.assert_allclose(found, states[1][name], atol=1e-6)
        assert jnp.abs(found - VARIABLES["params"][name]).max() > 1e-3


def test_a_share_out_of_range_is_one_sentence():
    with pytest.raises(ValueError, match="clean_share=1.0; expected a number in"):
        made((), clean_share=1.0)
