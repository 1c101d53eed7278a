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


def single_step(attack):
    """Weights, images, what the attack made of them, and the examples' keys."""
    w, batch = tanh_net.weights(), tanh_net.batch()
    objective = train.adversarial(APPLY, attack, threat_fn)
    _, aux, _ = tanh_net.value_and_gradient(objective, tanh_net.variables(w), batch)
    keys = [jax.random.fold_in(jax.random.key(3), p) for p in batch.positions]
    return w, np.asarray(batch.images), np.asarray(aux.attacked), keys


def gradient_signs(w, images):
    """Of the summed cross entropy, by differences in float64."""
    labels = np.asarray(tanh_net.batch().labels)

    def loss_of(images):
        z = pair_losses.net(w, images.astype(np.float64))
        return pair_losses.cross_entropy(z, labels).sum()

    signs = np.zeros_like(images)
    for index in np.ndindex(images.shape):
        step = np.zeros(images.shape)
        step[index] = 1e-5
        signs[index] = np.sign(loss_of(images + step) - loss_of(images - step))
    return signs


def test_n_fgsm_is_noise_and_a_full_step_clipped_to_the_box_alone():
    w, x, x_adv, keys = single_step(perturbations.n_fgsm(2.0))
    wide = threats.Linf(2 * EPS)
    noisy = np.stack([wide.sample(k, i) for k, i in zip(keys, x, strict=True)])
    expected = np.clip(noisy + EPS * gradient_signs(w, noisy), 0, 1)
    np.testing.assert_allclose(x_adv, expected, atol=1e-5)
    assert np.abs(x_adv - x).max() > 1.5 * EPS  # No projection onto the ball.


def test_fgsm_rs_takes_its_gradient_outside_the_box_and_ends_inside():
    w, x, x_adv, keys = single_step(perturbations.fgsm_rs(1.25))
    boxless = threats.Linf(EPS, -np.inf, np.inf)
    noisy = np.stack([boxless.sample(k, i) for k, i in zip(keys, x, strict=True)])
    assert noisy.min() < -0.01 and noisy.max() > 1.01
    moved = noisy + 1.25 * EPS * gradient_signs(w, noisy)
    expected = np.clip(np.clip(moved, x - EPS, x + EPS), 0, 1)
    np.testing.assert_allclose(x_adv, expected, atol=1e-5)


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
