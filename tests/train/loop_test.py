"""Both drivers of an epoch: equal numbers, nothing dropped, keys, exports."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, datasets, models, threats, train
from robust_jax.train import batches, loop
from robust_jax.train.state import Aux

N, BATCH = 90, 32  # Three steps, the last one filled up.
DRIVERS = {"hosted": loop.hosted, "traced": loop.traced}
ENDS = []  # Whether the next stretch on the host ends, step by step.


class Tiny(nn.Module):
    """One strided convolution and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(models.Conv(4, (3, 3), strides=2)(x))
        return nn.Dense(10)(x.reshape(*x.shape[:-3], -1))


AVERAGES = (
    (
        "doubled",
        lambda average, variables, step: jax.tree.map(lambda v: 2 * v, variables),
    ),
)


def loader():
    return train.DeviceLoader(digits().on_device())


@functools.cache
def digits():
    return datasets.load("digits", "train").take(np.arange(N))


def conv_problem():
    module = Tiny()
    attack = attacks.pgd(2, 0.5)
    objective = train.adversarial(
        models.ApplyMode(module), attack, lambda step: threats.Linf(0.1)
    )
    variables = models.init(module, jax.random.key(0), (8, 8, 1))
    return train.Learner(objective, optax.adam(1e-2), AVERAGES), variables


@functools.cache
def conv_epoch(name):
    learner, variables = conv_problem()
    run = DRIVERS[name](
        learner, train.Batching(BATCH), lambda: bool(ENDS) and ENDS.pop(0)
    )

    def epoch(seed, state=None, at=None):
        # A copy: the hosted step reuses the memory of its state.
        state = train.new_state(learner, variables) if state is None else state
        state = jax.tree.map(jnp.copy, state)
        return run(state, loader(), jax.random.key(seed), at)

    return epoch


def test_hosted_epoch_equals_traced_epoch():
    hosted, traced = conv_epoch("hosted")(0), conv_epoch("traced")(0)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5),
        hosted,
        traced,
    )
    before = conv_problem()[1]
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, hosted[0].variables)
    assert min(jax.tree.leaves(moved)) > 1e-3
    assert hosted[0].step == 3 and set(hosted[1]) == {"loss", "accuracy"}
    assert hosted[1]["loss"].shape == (3,)
    jax.tree.map(
        lambda average, now: np.testing.assert_array_equal(average, 2 * now),
        hosted[0].averages["doubled"],
        hosted[0].variables,
    )


@pytest.mark.parametrize("name", DRIVERS)
def test_stretches_of_an_epoch_are_the_epoch(name):
    epoch = conv_epoch(name)
    whole, metrics = epoch(0)
    state, first = epoch(0, at=loop.StepRange(0, 1))
    state, rest = epoch(0, state, loop.StepRange(1, 3))
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    losses = np.concatenate([first["loss"], rest["loss"]])
    np.testing.assert_array_equal(losses, metrics["loss"])


def test_a_stretch_on_the_host_ends_when_it_is_asked_to():
    ENDS.extend([False, True])
    state, metrics = conv_epoch("hosted")(0)
    assert not ENDS and state.step == 2 and metrics["loss"].shape == (2,)


def test_an_epoch_is_deterministic_in_its_key():
    first, again, other = (conv_epoch("hosted")(seed)[0] for seed in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    gaps = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), first.variables, other.variables
    )
    assert max(jax.tree.leaves(gaps)) > 1e-4


def book_keeping(variables, batch, key, step):
    """A loss whose descent writes down what the step was given."""
    given, variables = variables, variables["params"]
    pixels = jnp.sum(batch.images, axis=(1, 2, 3))
    written = (
        jnp.sum(variables["seen"][batch.positions])
        + jnp.sum(variables["pixels"][batch.positions] * pixels)
        + jnp.sum(variables["labels"][batch.positions] * batch.labels)
        + variables["draws"][step] * jax.random.uniform(key)
    )
    return -written, Aux({"step": step.astype(jnp.float32)}, given)


@pytest.mark.parametrize("name", DRIVERS)
def test_every_example_is_seen_with_its_label_and_every_step_has_its_key(name):
    data, calls = digits(), []
    learner, batching = (
        train.Learner(book_keeping, optax.sgd(1.0)),
        train.Batching(BATCH),
    )
    epoch_fn = DRIVERS[name](learner, batching, lambda: calls.append(1))
    zeros = {field: jnp.zeros(N) for field in ("seen", "pixels", "labels", "draws")}
    state = train.new_state(learner, {"params": zeros})
    state, metrics = epoch_fn(state, loader(), jax.random.key(1))
    book = jax.tree.map(np.asarray, state.variables["params"])
    assert book["seen"].min() == 1 and book["seen"].sum() == 3 * BATCH
    sums = data.pixels().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(book["pixels"], book["seen"] * sums, rtol=1e-5)
    np.testing.assert_allclose(book["labels"], book["seen"] * data.labels)
    assert len(np.unique(book["draws"][:3])) == 3 and (book["draws"][3:] == 0).all()
    np.testing.assert_array_equal(metrics["step"], [0, 1, 2])
    assert len(calls) == 3

    # A second epoch goes on counting steps: its draws are new ones.
    state, _ = epoch_fn(state, loader(), jax.random.key(1))
    draws = np.asarray(state.variables["params"]["draws"])
    assert len(np.unique(draws[:6])) == 6 and state.step == 6


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (6, 3), (2, 5), (1, 4)])
def test_an_order_is_a_permutation_filled_up(n, batch_size):
    order = np.asarray(batches.epoch_order(jax.random.key(n), n, batch_size))
    assert order.shape == (-(-n // batch_size), batch_size)
    flat = order.ravel()
    np.testing.assert_array_equal(np.sort(flat[:n]), np.arange(n))
    np.testing.assert_array_equal(flat[n:], np.resize(flat[:n], len(flat))[n:])


def test_extra_examples_are_a_fixed_share_of_every_batch():
    more = digits().take(np.arange(10))
    both = train.DeviceLoader(digits().on_device(), more.on_device())
    batching = train.Batching(16, extra_share=0.25, replays=2)
    order = np.asarray(batching.order(jax.random.key(0), *both.sizes()))
    assert order.shape == (2 * -(-N // 12), 16) == (batching.steps_per_epoch(N), 16)
    np.testing.assert_array_equal(order[::2], order[1::2])
    own, extra = order[::2, :12], order[::2, 12:]
    np.testing.assert_array_equal(np.unique(own), np.arange(N))
    np.testing.assert_array_equal(np.unique(extra), N + np.arange(10))
    batch = batching.batch(both, jnp.asarray(order[0]), jax.random.key(1))
    at = np.concatenate([order[0, :12], order[0, 12:] - N])
    np.testing.assert_array_equal(batch.images, digits().pixels()[at])
    np.testing.assert_array_equal(batch.labels, digits().labels[at])
    np.testing.assert_array_equal(batch.positions, order[0])


def test_augmentation_and_mixture_have_a_key_per_example():
    def shifted(key, image):
        return image + jax.random.uniform(key)

    def half(key, example, partner):
        return jax.tree.map(lambda a, b: (a + b) / 2, example, partner)

    order = jnp.arange(8)
    plain = train.Batching(8).batch(loader(), order, jax.random.key(0))
    moved = train.Batching(8, augment=shifted).batch(loader(), order, jax.random.key(0))
    shifts = np.asarray(moved.images - plain.images).reshape(8, -1)
    assert np.ptp(shifts, axis=1).max() < 1e-6 and len(np.unique(shifts[:, 0])) == 8
    mixed = train.Batching(8, mixture=half, num_classes=10)
    mixed = mixed.batch(loader(), order, jax.random.key(0))
    ahead = np.roll(plain.images, 1, axis=0)
    np.testing.assert_allclose(mixed.images, (plain.images + ahead) / 2)
    rows = np.arange(8)
    targets = np.zeros((8, 10))
    targets[rows, plain.labels] += 0.5
    targets[rows, np.roll(plain.labels, 1)] += 0.5
    np.testing.assert_allclose(mixed.targets, targets)


def test_orders_differ_by_key():
    orders = [
        np.asarray(batches.epoch_order(jax.random.key(k), 50, 10)) for k in (0, 1)
    ]
    assert (orders[0] != orders[1]).mean() > 0.8
