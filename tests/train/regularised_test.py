"""Objectives with a further term beside NumPy oracles in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import attacks, threats
from robust_jax.core.streams import OfTraining
from robust_jax.train import perturbations, regularised
from tests.reference import pair_losses
from tests.train import tanh_net

APPLY, EPS = tanh_net.apply_fn, 0.2
W, BATCH = tanh_net.weights(), tanh_net.batch()
X, Y = np.asarray(BATCH.images, np.float64), np.asarray(BATCH.labels)
KEYS = jax.vmap(lambda p: jax.random.fold_in(jax.random.key(3), p))(BATCH.positions)


def threat_fn(step):
    return threats.Linf(EPS)


def agree(objective, oracle):
    """Value and gradient are the oracle's, a function of weights and aux.attacked."""
    loss, aux, grads = tanh_net.value_and_gradient(
        objective, tanh_net.variables(W), BATCH
    )
    attacked = jax.tree.map(lambda a: np.asarray(a, np.float64), aux.attacked)
    value_of = lambda w: oracle(w, attacked)  # noqa: E731
    np.testing.assert_allclose(loss, value_of(W), rtol=1e-5, atol=1e-5)
    expected = pair_losses.gradient(value_of, W)
    for part, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[part], rtol=1e-5, atol=1e-5)
    return attacked


def input_gradient(w, x):
    """Of the label's cross entropy, by hand, flat."""
    flat = x.reshape(len(x), -1)
    hidden = np.tanh(flat @ w["first"])
    error = pair_losses.softmax(hidden @ w["second"] + w["bias"]) - np.eye(4)[Y]
    return ((error @ w["second"].T) * (1 - hidden**2)) @ w["first"].T


def test_grad_align_holds_the_first_gradient():
    key = jax.random.fold_in(jax.random.key(3), OfTraining.SECOND)
    keys = jax.vmap(lambda p: jax.random.fold_in(key, p))(BATCH.positions)
    draw = jax.vmap(lambda k, x: jax.random.uniform(k, x.shape))(keys, BATCH.images)
    noisy = X + EPS * (2 * np.asarray(draw, np.float64) - 1)
    assert noisy.reshape(-1, 4).max() > 1 or noisy.min() < 0  # The box is not asked.
    held = input_gradient(W, X)

    def oracle(w, x_adv):
        there = input_gradient(w, noisy)
        lengths = np.linalg.norm(held, axis=1) * np.linalg.norm(there, axis=1)
        cosine = ((held * there).sum(1) / lengths).mean()
        loss = pair_losses.cross_entropy(pair_losses.net(w, x_adv), Y).mean()
        return loss + 0.7 * (1 - cosine)

    agree(regularised.grad_align(APPLY, attacks.fgsm(), threat_fn, 0.7), oracle)


def test_vat_moves_along_the_leading_direction_and_holds_the_clean_answer():
    held = pair_losses.softmax(pair_losses.net(W, X))

    def oracle(w, moved):
        divergence = pair_losses.kl(
            held, pair_losses.softmax(pair_losses.net(w, moved))
        )
        return (pair_losses.cross_entropy(pair_losses.net(w, X), Y) + divergence).mean()

    moved = agree(regularised.vat(APPLY, 0.05, power_steps=8), oracle)
    shifts = (moved - X).reshape(len(X), -1)
    np.testing.assert_allclose(np.linalg.norm(shifts, axis=1), 0.05, rtol=1e-4)
    for x, p, shift in zip(X, held, shifts, strict=True):
        flat = x.ravel()
        slope = (1 - np.tanh(flat @ W["first"]) ** 2)[:, None] * W["second"]
        jacobian = W["first"] @ slope  # [D, K]
        fisher = jacobian @ (np.diag(p) - np.outer(p, p)) @ jacobian.T
        reached = shift @ fisher @ shift / 0.05**2
        assert reached > 0.9 * np.linalg.eigvalsh(fisher)[-1]


def test_helper_based_is_trades_and_the_helpers_class_beyond():
    helper = tanh_net.weights(seed=5)
    helper_fn = lambda x: APPLY(tanh_net.variables(helper), x, "eval")[0]  # noqa: E731

    def oracle(w, x_adv):
        answer = pair_losses.net(helper, x_adv).argmax(1)
        z, z_adv = pair_losses.net(w, X), pair_losses.net(w, x_adv)
        beyond = pair_losses.net(w, X + 2 * (x_adv - X))
        divergence = pair_losses.kl(pair_losses.softmax(z), pair_losses.softmax(z_adv))
        helped = pair_losses.cross_entropy(beyond, answer)
        own = pair_losses.cross_entropy(z, Y)
        return (own + 2.5 * divergence + 0.5 * helped).mean()

    attack = perturbations.pgd_kl(2)
    agree(regularised.helper_based(APPLY, attack, threat_fn, helper_fn), oracle)


def test_consistency_is_two_views_that_agree():
    flip = lambda key, x: jnp.where(jax.random.bernoulli(key), x[:, ::-1], x)  # noqa: E731

    def oracle(w, views):
        one, two = (pair_losses.net(w, view) for view in views)
        p, q = pair_losses.softmax(one / 0.5), pair_losses.softmax(two / 0.5)
        middle = (p + q) / 2
        apart = (pair_losses.kl(p, middle) + pair_losses.kl(q, middle)) / 2
        own = pair_losses.cross_entropy(one, Y) + pair_losses.cross_entropy(two, Y)
        return (own / 2 + 0.8 * apart).mean()

    attack = attacks.pgd(2, 0.6)
    views = agree(regularised.consistency(APPLY, attack, threat_fn, flip, 0.8), oracle)
    mirrored = []
    for view in views:  # Each is near the image or its mirror image, in both ways.
        near = np.abs(view - X).max((1, 2, 3)) <= EPS + 1e-6
        flipped = np.abs(view - X[:, :, ::-1]).max((1, 2, 3)) <= EPS + 1e-6
        assert (near | flipped).all()
        mirrored.append(~near)
    assert np.any(mirrored) and not np.all(mirrored)
