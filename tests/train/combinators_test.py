"""Combinators beside NumPy oracles in float64, and with batch statistics."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, threats, train
from robust_jax.train import combinators, loop, paired, perturbations, several_threats
from tests.reference import pair_losses
from tests.train import tanh_net

APPLY, EPS = tanh_net.apply_fn, 0.2
W, BATCH = tanh_net.weights(), tanh_net.batch()
VARIABLES = tanh_net.variables(W)
Y = np.asarray(BATCH.labels)
PGD = attacks.pgd(2, 0.6)
SMALL, LARGE = (lambda step, e=e: threats.Linf(e) for e in (0.05, 0.3))
ROUND = lambda step: threats.L2(0.35)  # noqa: E731
CLEAN, ADVERSARIAL = train.standard(APPLY), train.adversarial(APPLY, PGD, LARGE)


@functools.cache
def run(objective):
    return tanh_net.value_and_gradient(objective, VARIABLES, BATCH)


def loss_at(w, x):
    return pair_losses.cross_entropy(pair_losses.net(w, x), Y).mean()


def awp_move(w, g):
    size = {n: np.linalg.norm(a) / np.linalg.norm(g[n]) for n, a in w.items()}
    return {n: 0.1 * size[n] * g[n] if a.ndim > 1 else 0 * a for n, a in w.items()}


def sam_move(w, g):
    length = np.sqrt(sum((a**2).sum() for a in g.values()))
    return {n: 0.3 * a / length for n, a in g.items()}


@pytest.mark.parametrize("name", ["awp", "sam"])
def test_the_loss_is_that_at_moved_weights_and_old_adversarial_images(name):
    objective = {
        "awp": combinators.awp(ADVERSARIAL, 0.1, warm_up_steps=7),
        "sam": combinators.sam(ADVERSARIAL, 0.3),
    }[name]
    loss, aux, grads = run(objective)
    x_adv = np.asarray(run(ADVERSARIAL)[1].attacked)
    np.testing.assert_allclose(aux.attacked, x_adv, atol=1e-6)
    at_x_adv = lambda w: loss_at(w, x_adv.astype(np.float64))  # noqa: E731
    move = {"awp": awp_move, "sam": sam_move}[name]
    shift = move(W, pair_losses.gradient(at_x_adv, W))
    there = {n: W[n] + shift[n] for n in W}
    np.testing.assert_allclose(loss, at_x_adv(there), rtol=1e-5, atol=1e-5)
    expected = pair_losses.gradient(at_x_adv, there)
    for part, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[part], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(
            aux.variables["params"][part], VARIABLES["params"][part]
        )
    assert loss > at_x_adv(W) + 1e-2


def test_awp_waits_for_its_first_step():
    waiting = combinators.awp(ADVERSARIAL, 0.1, warm_up_steps=8)  # The step is 7.
    np.testing.assert_allclose(run(waiting)[0], run(ADVERSARIAL)[0], rtol=1e-6)


def test_averages_and_mixtures_are_sums():
    clean, other = CLEAN, train.adversarial(APPLY, PGD, SMALL)
    parts = [run(objective) for objective in (ADVERSARIAL, clean, other)]
    average = run(combinators.average_of(ADVERSARIAL, clean, other))
    mixture = run(combinators.mixed(ADVERSARIAL, clean, 0.3))
    np.testing.assert_allclose(average[0], np.mean([p[0] for p in parts]), rtol=1e-5)
    expected = 0.7 * parts[0][0] + 0.3 * parts[1][0]
    np.testing.assert_allclose(mixture[0], expected, rtol=1e-5)
    for name, gradient in mixture[2].items():
        expected = 0.7 * parts[0][2][name] + 0.3 * parts[1][2][name]
        np.testing.assert_allclose(gradient, expected, atol=1e-5)
    # What each found goes back to each.
    moved = run(combinators.sam(combinators.mixed(ADVERSARIAL, clean, 0.3), 1e-6))
    np.testing.assert_allclose(moved[0], mixture[0], atol=1e-4)


def test_the_worst_is_chosen_for_each_example():
    pairs = [(PGD, LARGE), (PGD, ROUND)]
    round_one = train.adversarial(APPLY, PGD, ROUND)
    singles = [run(each)[1].attacked for each in (ADVERSARIAL, round_one)]
    by_hand = [
        pair_losses.cross_entropy(pair_losses.net(W, np.asarray(x, np.float64)), Y)
        for x in singles
    ]
    worst = np.maximum(*by_hand)
    loss, _, _ = run(several_threats.worst_of(APPLY, pairs))
    np.testing.assert_allclose(loss, worst.mean(), rtol=1e-5)
    assert worst.mean() > max(losses.mean() for losses in by_hand) + 1e-5
    alone = run(several_threats.worst_of(APPLY, pairs[:1]))
    np.testing.assert_array_equal(alone[1].attacked, singles[0])


def test_msd_takes_the_worst_step_of_all_threats():
    both = [(0.5, LARGE), (0.5, ROUND)]
    _, aux, _ = run(several_threats.multi_steepest_descent(APPLY, both, steps=3))
    x, found = np.asarray(BATCH.images, np.float64), np.asarray(BATCH.images)
    found = found.astype(np.float64)
    examples = lambda w, x: pair_losses.cross_entropy(pair_losses.net(w, x), Y)  # noqa: E731
    for _ in range(3):
        grad = pair_losses.gradient(lambda v: examples(W, v["x"]).sum(), {"x": found})
        ahead = []
        for size, threat in ((0.5, LARGE(0)), (0.5, ROUND(0))):
            steps = [
                threat.steepest(g, p) for g, p in zip(grad["x"], found, strict=True)
            ]
            points = found + size * np.stack(steps)
            shot = [threat.project(p, x0) for p, x0 in zip(points, x, strict=True)]
            ahead.append(np.stack(shot).astype(np.float64))
        worst = np.stack([examples(W, a) for a in ahead]).argmax(0)
        found = np.stack([ahead[c][i] for i, c in enumerate(worst)])
    np.testing.assert_allclose(aux.attacked, found, atol=1e-5)


def test_multi_steepest_descent_leaves_entries_without_a_number_alone():
    batch = tanh_net.first_pixel_zero(BATCH)
    both = [(0.5, SMALL), (0.5, ROUND)]
    objective = several_threats.multi_steepest_descent(tanh_net.rooted, both, steps=1)
    loss, aux, _ = tanh_net.value_and_gradient(objective, VARIABLES, batch)
    assert np.isfinite(loss)
    np.testing.assert_array_equal(aux.attacked[:, 0, 0, 0], 0)
    moved = np.abs(np.asarray(aux.attacked - batch.images)).reshape(len(Y), -1)
    assert moved.max(axis=1).min() > 0.02


class Normalised(nn.Module):
    """A net with batch statistics."""

    @nn.compact
    def __call__(self, x, mode="eval"):
        x = nn.Dense(3)(x.reshape(*x.shape[:-3], -1))
        axis = "batch" if x.ndim == 1 and not self.is_initializing() else None
        norm = nn.BatchNorm(mode in ("eval", "frozen"), momentum=0.5, axis_name=axis)
        return nn.Dense(4)(jnp.tanh(norm(x)))


def normalised_fn(variables, images, mode, key=None):
    logits, new = Normalised().apply(variables, images, mode, mutable=["batch_stats"])
    return logits, {**variables, **new} if mode == "batch+update" else variables


@pytest.mark.parametrize("attack_mode", ["eval", "batch"])
def test_statistics_are_those_of_the_loss_at_moved_weights(attack_mode):
    variables = Normalised().init(jax.random.key(0), BATCH.images)
    attack, key = perturbations.pgd_kl(2), jax.random.key(3)
    trades = paired.trades(normalised_fn, attack, LARGE, attack_mode=attack_mode)
    learner = train.Learner(combinators.sam(trades, 0.1), optax.sgd(0.1))
    state = train.new_state(learner, variables)
    step = functools.partial(loop.train_step, learner)
    state, _ = jax.jit(step)(state, BATCH, key)
    stats = state.variables["batch_stats"]["BatchNorm_0"]

    # By hand: clean, then adversarial statistics of the first layer, moved by SAM.
    full = lambda p: trades({**variables, "params": p}, BATCH, key, 0)  # noqa: E731
    grads, aux = jax.jit(jax.grad(full, has_aux=True))(variables["params"])
    scale = 0.1 / optax.tree.norm(grads)
    layer = jax.tree.map(lambda w, g: w + scale * g, variables["params"], grads)
    mean = np.zeros(3)
    for images in (BATCH.images, aux.attacked):
        flat = np.asarray(images).reshape(5, -1)
        first = layer["Dense_0"]
        mean = 0.5 * mean + 0.5 * (flat @ first["kernel"] + first["bias"]).mean(0)
    np.testing.assert_allclose(stats["mean"], mean, atol=1e-5)


def test_an_attack_in_batch_mode_sees_the_statistics_of_its_batch():
    variables = Normalised().init(jax.random.key(0), BATCH.images)
    objective = train.adversarial(
        normalised_fn, attacks.fgsm(), SMALL, attack_mode="batch"
    )
    _, aux, _ = tanh_net.value_and_gradient(objective, variables, BATCH)

    @jax.jit
    @jax.grad
    def whole_batch(images):
        logits, _ = normalised_fn(variables, images, "batch")
        return -jnp.sum(jax.nn.log_softmax(logits)[jnp.arange(5), Y])

    expected = BATCH.images + 0.05 * jnp.sign(whole_batch(BATCH.images))
    np.testing.assert_allclose(aux.attacked, jnp.clip(expected, 0, 1), atol=1e-6)
    stats = variables["batch_stats"]["BatchNorm_0"]["mean"]
    new = aux.variables["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.abs(new - stats).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: combinators.awp(ADVERSARIAL, 0.0), "gamma=0.0; expected a finite"),
        (lambda: combinators.awp(ADVERSARIAL, warm_up_steps=-1), "warm_up_steps=-1; "),
        (lambda: combinators.sam(ADVERSARIAL, -1.0), "rho=-1.0; expected a finite"),
        (lambda: combinators.average_of(), "objectives=(); expected at least one"),
        (lambda: combinators.mixed(ADVERSARIAL, ADVERSARIAL, 1.0), "clean_share=1.0; "),
        (
            lambda: several_threats.worst_of(APPLY, []),
            "pairs=(); expected at least one",
        ),
        (lambda: train.standard(APPLY, smoothing=1.0), "smoothing=1.0; expected a"),
        (lambda: paired.trades(APPLY, PGD, SMALL, 0.0), "beta=0.0; expected a finite"),
    ],
)
def test_bad_arguments_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
