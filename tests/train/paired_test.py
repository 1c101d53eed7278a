"""Objectives of clean and adversarial logits beside NumPy oracles in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats, train
from robust_jax.train import paired, perturbations
from tests.reference import pair_losses
from tests.train import tanh_net

PGD, KL = attacks.pgd(2, 0.6), perturbations.pgd_kl(2)
EPS = 0.2


def threat_fn(step):
    return threats.Linf(EPS)


APPLY = tanh_net.apply_fn
OBJECTIVES = {
    "adversarial": train.adversarial(APPLY, PGD, threat_fn),
    "smoothed": train.standard(APPLY, smoothing=0.2),
    "trades": paired.trades(APPLY, KL, threat_fn),
    "mart": paired.mart(APPLY, perturbations.pgd_near(2, 0.6), threat_fn),
    "logit_pairing": paired.logit_pairing(APPLY, PGD, threat_fn),
    "score": paired.score(APPLY, perturbations.pgd_squared(2), threat_fn),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_value_and_gradient_are_the_oracles_at_constant_adversarial_images(name):
    w, batch = tanh_net.weights(), tanh_net.batch()
    loss, aux, grads = tanh_net.value_and_gradient(
        OBJECTIVES[name], tanh_net.variables(w), batch
    )
    x, y = np.asarray(batch.images, np.float64), np.asarray(batch.labels)
    x_adv = x if aux.attacked is None else np.asarray(aux.attacked, np.float64)
    assert np.abs(x_adv - x).max() <= EPS + 1e-6
    oracle = getattr(pair_losses, name)

    def value_of(w):
        z, z_adv = pair_losses.net(w, x), pair_losses.net(w, x_adv)
        return oracle(z, z_adv, y).mean()

    np.testing.assert_allclose(loss, value_of(w), rtol=1e-5, atol=1e-5)
    expected = pair_losses.gradient(value_of, w)
    for part, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[part], rtol=1e-5, atol=1e-5)
    if aux.attacked is not None:  # What was found is used when it is handed back.
        other = batch._replace(attacked=jnp.asarray(x_adv, jnp.float32))
        again = OBJECTIVES[name](tanh_net.variables(w), other, jax.random.key(9), 0)
        np.testing.assert_allclose(again[0], loss, rtol=1e-5)


def test_n_fgsm_is_noise_and_a_full_step_clipped_to_the_box_alone():
    w, batch = tanh_net.weights(), tanh_net.batch()
    objective = train.adversarial(APPLY, perturbations.n_fgsm(2.0), threat_fn)
    _, aux, _ = tanh_net.value_and_gradient(objective, tanh_net.variables(w), batch)
    x, x_adv = np.asarray(batch.images), np.asarray(aux.attacked)
    keys = [jax.random.fold_in(jax.random.key(3), p) for p in batch.positions]
    wide = threats.Linf(2 * EPS)
    noisy = np.stack([wide.sample(k, i) for k, i in zip(keys, x, strict=True)])

    def loss_of(images):
        z = pair_losses.net(w, images.astype(np.float64))
        return pair_losses.cross_entropy(z, np.asarray(batch.labels)).sum()

    signs = np.zeros_like(noisy)
    for index in np.ndindex(noisy.shape):
        step = np.zeros(noisy.shape)
        step[index] = 1e-5
        signs[index] = np.sign(loss_of(noisy + step) - loss_of(noisy - step))
    expected = np.clip(noisy + EPS * signs, 0, 1)
    np.testing.assert_allclose(x_adv, expected, atol=1e-5)
    assert np.abs(x_adv - x).max() > 1.5 * EPS  # No projection onto the ball.


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_kl_climbs_the_divergence_from_near_the_input(norm):
    w, batch = tanh_net.weights(), tanh_net.batch()
    threat = threats.by_name(norm)(EPS)
    objective = paired.trades(APPLY, perturbations.pgd_kl(5), lambda step: threat)
    _, aux, _ = tanh_net.value_and_gradient(objective, tanh_net.variables(w), batch)
    x, x_adv = (np.asarray(a, np.float64) for a in (batch.images, aux.attacked))
    p = pair_losses.softmax(pair_losses.net(w, x))
    found = pair_losses.kl(p, pair_losses.softmax(pair_losses.net(w, x_adv)))
    random = []
    for key in jax.random.split(jax.random.key(0), 20):
        points = np.stack([threat.sample(key, i) for i in batch.images])
        q = pair_losses.softmax(pair_losses.net(w, points.astype(np.float64)))
        random.append(pair_losses.kl(p, q).mean())
    assert found.mean() > 1.5 * np.mean(random)


def test_the_small_start_is_gaussian_and_feasible():
    x, threat = jnp.full((1000,), 0.5), threats.Linf(EPS)
    start = perturbations.near_the_input(1e-3)
    noise = np.asarray(start(jax.random.key(0), threat, x)) - 0.5
    assert 0.9e-3 < noise.std() < 1.1e-3 and abs(noise.mean()) < 1e-4
    tight = start(jax.random.key(0), threats.Linf(5e-4), jnp.zeros(1000))
    assert tight.min() == 0 and tight.max() <= 5e-4 + 1e-9
