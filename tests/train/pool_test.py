"""The pool's invariants over steps, its loss by hand, and nets taken apart."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, models, threats, train
from robust_jax.core import flops
from robust_jax.train import loop, pool, split_net
from robust_jax.train.state import Batch, Learner, new_state
from tests.reference import pair_losses
from tests.train import tanh_net

APPLY, EPS, N, B = tanh_net.apply_fn, 0.1, 40, 10
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(N, *tanh_net.SHAPE)).astype(np.float32)
LABELS = RNG.integers(4, size=N)
SIZE, REPLACED, TAKEN = 8, 3, 4
W = tanh_net.weights()
NET = models.MLP(num_classes=4, hidden=(6, 5))


def threat_fn(step):
    return threats.Linf(EPS)


def batch_of(positions):
    positions = jnp.asarray(positions, jnp.int32)
    images, labels = IMAGES[positions], LABELS[positions]
    return Batch(jnp.asarray(images), jnp.asarray(labels, jnp.int32), positions)


def made(apply_fn=APPLY, **changes):
    sizes = {"size": SIZE, "share": 0.5, "replaced": REPLACED, "taken": TAKEN}
    return pool.pooled(
        apply_fn,
        attacks.fgsm(),
        threat_fn,
        shape=tanh_net.SHAPE,
        **{**sizes, **changes},
    )


def in_float64(variables):
    return {n: np.asarray(a, np.float64) for n, a in variables["params"].items()}


def fgsm_by_hand(w, x, y):
    examples = lambda v: pair_losses.cross_entropy(pair_losses.net(w, v["x"]), y).sum()  # noqa: E731
    grad = pair_losses.gradient(examples, {"x": x.astype(np.float64)})["x"]
    return np.clip(x + EPS * np.sign(grad), 0, 1)


@functools.cache
def trained(steps=8):
    """Before and after every step: state, batch, pool."""
    objective, memory = made()
    learner = Learner(objective, optax.sgd(0.5), memory=memory)
    state, path = new_state(learner, tanh_net.variables(W)), []
    step = jax.jit(functools.partial(loop.train_step, learner))
    rng = np.random.default_rng(1)
    for number in range(steps):
        batch = batch_of(rng.permutation(N)[:B])
        old = state
        state, _ = step(state, batch, jax.random.key(number))
        path.append((old, batch, jax.tree.map(np.asarray, state.memory[0])))
    return path


def test_every_step_replaces_as_many_places_and_ages_the_rest():
    filled, places = np.zeros(SIZE, bool), set()
    for old, _, now in trained():
        before = jax.tree.map(np.asarray, old.memory[0])
        fresh = now.is_filled & (now.age == 0)
        assert fresh.sum() == REPLACED
        rest = ~fresh
        np.testing.assert_array_equal(now.is_filled, before.is_filled | fresh)
        np.testing.assert_array_equal(
            now.age[rest], (before.age + before.is_filled)[rest]
        )
        for field in ("points", "labels", "positions"):
            np.testing.assert_array_equal(
                getattr(now, field)[rest], getattr(before, field)[rest]
            )
        assert now.points.shape == before.points.shape == (SIZE, *tanh_net.SHAPE)
        places.add(tuple(fresh))
        filled |= fresh
    assert filled.all() and len(places) > 3  # Places are drawn anew.
    assert now.age.max() > 1 and (before.positions != now.positions).any()


def test_new_examples_are_the_attack_on_members_of_the_batch_and_the_present_net():
    rows = set()
    for old, batch, now in trained():
        fresh = now.age[now.is_filled] == 0
        positions = now.positions[now.is_filled][fresh]
        assert len(set(positions)) == REPLACED
        assert set(positions) <= set(np.asarray(batch.positions))
        w, x, y = in_float64(old.variables), IMAGES[positions], LABELS[positions]
        points = now.points[now.is_filled][fresh]
        np.testing.assert_allclose(points, fgsm_by_hand(w, x, y), atol=1e-6)
        rows |= {int(np.argmax(batch.positions == position)) for position in positions}
    assert len(rows) > 2 * REPLACED  # Members are drawn anew.


def test_places_keep_their_image_and_label():
    for _, _, now in trained():
        kept = now.is_filled
        np.testing.assert_array_equal(now.labels[kept], LABELS[now.positions[kept]])
        moved = np.abs(now.points[kept] - IMAGES[now.positions[kept]])
        assert moved.max() <= EPS + 1e-6
        assert (moved.reshape(len(moved), -1).max(1) > 0.5 * EPS).all()
        assert (now.positions[~kept] == -1).all()


def test_losses_are_those_of_the_last_look():
    seen = set()
    for old, _, now in trained():
        before, w = jax.tree.map(np.asarray, old.memory[0]), in_float64(old.variables)
        z = pair_losses.net(w, now.points.astype(np.float64))
        expected = pair_losses.cross_entropy(z, now.labels)
        fresh = now.is_filled & (now.age == 0)
        looked_at = np.isfinite(now.loss) & (fresh | (now.loss != before.loss))
        assert 1 <= looked_at.sum() <= TAKEN and now.is_filled[looked_at].all()
        np.testing.assert_allclose(now.loss[looked_at], expected[looked_at], rtol=1e-5)
        left = ~looked_at & ~fresh
        np.testing.assert_array_equal(now.loss[left], before.loss[left])
        seen.add(tuple(looked_at))
    assert len(seen) > 3  # What is trained on is drawn anew.


def noisy(variables, images, mode, key=None):
    """The tanh net with dropout's shape of randomness."""
    logits, variables = APPLY(variables, images, mode)
    if key is not None:
        logits = logits + 0.3 * jax.random.normal(key, logits.shape)
    return logits, variables


def test_a_share_of_zero_is_clean_training_to_the_bit():
    states = []
    for part in (made(noisy, share=0.0), (train.standard(noisy), None)):
        objective, memory = part
        learner = Learner(objective, optax.adam(0.1), memory=memory)
        state = new_state(learner, tanh_net.variables(W))
        step = jax.jit(functools.partial(loop.train_step, learner))
        for number in range(3):
            key = jax.random.key(number)
            state, _ = step(state, batch_of(range(number, number + B)), key)
        states.append(state)
    jax.tree.map(
        np.testing.assert_array_equal, states[0].variables, states[1].variables
    )
    assert not states[0].memory[0].is_filled.any()


def test_the_loss_mixes_clean_examples_and_the_pool_at_its_share():
    objective, memory = made(noisy, size=1, replaced=1, taken=1, share=0.3)
    batch = batch_of(range(B))._replace(memory=memory)
    loss, aux, _ = tanh_net.value_and_gradient(objective, tanh_net.variables(W), batch)
    clean, _, _ = tanh_net.value_and_gradient(
        train.standard(noisy), tanh_net.variables(W), batch
    )
    expected = 0.7 * clean + 0.3 * aux.memory[0].loss[0]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)

    objective, memory = made(size=1, replaced=1, taken=3, share=0.3)
    loss, aux, grads = tanh_net.value_and_gradient(
        objective, tanh_net.variables(W), batch._replace(memory=memory)
    )
    point, label = (np.asarray(a) for a in aux.memory[0][:2])

    def oracle(w):
        clean = pair_losses.cross_entropy(pair_losses.net(w, IMAGES[:B]), LABELS[:B])
        there = pair_losses.net(w, point.astype(np.float64))
        return 0.7 * clean.mean() + 0.3 * pair_losses.cross_entropy(there, label)[0]

    np.testing.assert_allclose(loss, oracle(W), rtol=1e-5)
    expected = pair_losses.gradient(oracle, W)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-5, atol=1e-5)


def test_what_was_found_before_goes_to_the_same_places():
    objective, memory = made()
    batch = batch_of(range(B))._replace(memory=memory)
    run = jax.jit(objective)
    key, other = jax.random.key(3), tanh_net.variables(tanh_net.weights(seed=9))
    first, anew = (run(v, batch, key, 0)[1] for v in (tanh_net.variables(W), other))
    second = run(other, batch._replace(attacked=first.attacked), key, 0)[1]
    for field in ("points", "labels", "positions", "age"):
        one, two = (getattr(aux.memory[0], field) for aux in (first, second))
        np.testing.assert_array_equal(one, two)
    assert np.abs(anew.memory[0].points - first.memory[0].points).max() > EPS / 2


def round_threat(radius):
    return lambda step: threats.L2(radius, lower=-jnp.inf, upper=jnp.inf)


CUTS = [
    pool.SplitNet(lambda v, x: x, models.ApplyMode(NET), threat_fn, tanh_net.SHAPE),
    split_net.split_before(NET, "Dense_1", tanh_net.SHAPE, round_threat(0.4)),
    split_net.split_before(NET, "Dense_2", tanh_net.SHAPE, round_threat(0.7)),
]


@functools.cache
def mlp_variables():
    return models.init(NET, jax.random.key(2), tanh_net.SHAPE)


def hidden_by_hand(params, x, layers):
    x = x.reshape(len(x), -1)
    for layer in range(layers):
        dense = params[f"Dense_{layer}"]
        x = np.maximum(x @ dense["kernel"] + dense["bias"], 0)
    return x


@pytest.mark.parametrize(("layer", "width"), [(1, 6), (2, 5)])
def test_a_net_taken_apart_is_the_net(layer, width):
    cut, variables = CUTS[layer], mlp_variables()
    hidden = cut.below_fn(variables, IMAGES)
    expected = hidden_by_hand(variables["params"], IMAGES, layer)
    assert cut.shape == (width,)
    np.testing.assert_allclose(hidden, expected, atol=1e-6)
    whole = NET.apply(variables, IMAGES)
    logits, same = cut.above_fn(variables, hidden, "batch+update")
    assert same is variables
    np.testing.assert_allclose(logits, whole, atol=1e-6)
    one_by_one = jax.vmap(lambda h: cut.above_fn(variables, h, "eval")[0])(hidden)
    np.testing.assert_allclose(one_by_one, whole, atol=1e-6)
    # What lies below is not computed.
    count = flops.exact(lambda h: cut.above_fn(variables, h, "eval")[0], hidden)
    assert count == 2 * N * {1: 6 * 5 + 5 * 4, 2: 5 * 4}[layer]


def test_pools_of_layers_hold_moved_outputs_and_train_the_layers_above():
    variables = mlp_variables()
    objective, memory = pool.pooled_at(
        models.ApplyMode(NET),
        attacks.fgsm(),
        CUTS,
        **{"size": 1, "replaced": 1, "taken": 1, "share": 0.4},
    )
    batch = batch_of(range(B))._replace(memory=memory)
    loss, aux, grads = tanh_net.value_and_gradient(objective, variables, batch)
    w = jax.tree.map(np.float64, variables["params"])
    pools = jax.tree.map(np.asarray, aux.memory)
    assert len({tuple(now.positions) for now in pools}) > 1  # Each has its own keys.
    for layer, radius in ((1, 0.4), (2, 0.7)):
        now = pools[layer]
        there = hidden_by_hand(w, IMAGES[now.positions], layer)
        lengths = np.linalg.norm(now.points - there, axis=1)
        np.testing.assert_allclose(lengths, radius, rtol=1e-5)

    def nats(w, points, first, labels):
        hidden = points.reshape(len(points), -1)
        for layer in range(first, 2):
            hidden = np.maximum(hidden @ w[f"k{layer}"] + w[f"b{layer}"], 0)
        return pair_losses.cross_entropy(hidden @ w["k2"] + w["b2"], labels).mean()

    def oracle(w):
        clean = nats(w, IMAGES[:B], 0, LABELS[:B])
        losses = [nats(w, now.points, k, now.labels) for k, now in enumerate(pools)]
        return 0.6 * clean + 0.4 * np.mean(losses)

    flat = {f"k{k}": w[f"Dense_{k}"]["kernel"] for k in range(3)}
    flat |= {f"b{k}": w[f"Dense_{k}"]["bias"] for k in range(3)}
    np.testing.assert_allclose(loss, oracle(flat), rtol=1e-5)
    expected = pair_losses.gradient(oracle, flat)
    for k in range(3):
        found = grads[f"Dense_{k}"]
        for part, name in (("kernel", f"k{k}"), ("bias", f"b{k}")):
            np.testing.assert_allclose(found[part], expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: made(size=0), "size=0; expected an integer >= 1"),
        (lambda: made(taken=0), "taken=0; expected an integer >= 1"),
        (lambda: made(replaced=9), "replaced=9; expected at most size=8"),
        (lambda: made(share=1.0), "share=1.0; expected a share in [0, 1)"),
        (lambda: pool.pooled_at(APPLY, attacks.fgsm(), [], size=8), "splits=(); expec"),
        (
            lambda: made().objective(
                tanh_net.variables(W), batch_of([0]), jax.random.key(0), 0
            ),
            "replaced=3 for a batch of 1; expected at most as many",
        ),
        (
            lambda: split_net.split_before(NET, "Dense_7", tanh_net.SHAPE, threat_fn),
            "name='Dense_7'; expected a submodule of MLP",
        ),
    ],
)
def test_bad_arguments_are_one_sentence(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
