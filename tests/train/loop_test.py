"""Both drivers of an epoch: equal numbers, nothing dropped, keys, exports."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robust_jax import attacks, datasets, models, threats, train
from robust_jax.train import loop
from robust_jax.train.state import Aux, Batch

N, BATCH = 90, 32  # Three steps, the last one filled up.
DRIVERS = {"hosted": loop.hosted, "traced": loop.traced}


class Tiny(nn.Module):
    """One strided convolution and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(models.Conv(4, (3, 3), strides=2)(x))
        return nn.Dense(10)(x.reshape(*x.shape[:-3], -1))


@functools.cache
def digits():
    return datasets.load("digits", "train").take(np.arange(N))


def conv_problem():
    module, optimiser = Tiny(), optax.adam(1e-2)
    attack = attacks.pgd(2, 0.5)
    objective = train.adversarial(
        models.ApplyMode(module), attack, lambda step: threats.Linf(0.1)
    )
    variables = models.init(module, jax.random.key(0), (8, 8, 1))
    return objective, optimiser, variables


@functools.cache
def conv_epoch(name):
    objective, optimiser, variables = conv_problem()
    epoch_fn = DRIVERS[name](objective, optimiser, BATCH)

    def epoch(seed):  # A copy: the hosted step reuses the memory of its state.
        state = jax.tree.map(jnp.copy, train.new_state(variables, optimiser))
        return epoch_fn(state, digits().on_device(), jax.random.key(seed))

    return epoch


def test_hosted_epoch_equals_traced_epoch():
    hosted, traced = conv_epoch("hosted")(0), conv_epoch("traced")(0)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5),
        hosted,
        traced,
    )
    before = conv_problem()[2]
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, hosted[0].variables)
    assert min(jax.tree.leaves(moved)) > 1e-3
    assert hosted[0].step == 3 and set(hosted[1]) == {"loss", "accuracy"}


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
    data, optimiser, calls = digits(), optax.sgd(1.0), []
    epoch_fn = DRIVERS[name](book_keeping, optimiser, BATCH)
    if name == "hosted":
        epoch_fn = loop.hosted(book_keeping, optimiser, BATCH, lambda: calls.append(1))
    zeros = {field: jnp.zeros(N) for field in ("seen", "pixels", "labels", "draws")}
    state = train.new_state({"params": zeros}, optimiser)
    state, metrics = epoch_fn(state, data.on_device(), jax.random.key(1))
    book = jax.tree.map(np.asarray, state.variables["params"])
    assert book["seen"].min() == 1 and book["seen"].sum() == 3 * BATCH
    sums = data.pixels().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(book["pixels"], book["seen"] * sums, rtol=1e-5)
    np.testing.assert_allclose(book["labels"], book["seen"] * data.labels)
    assert len(np.unique(book["draws"][:3])) == 3 and (book["draws"][3:] == 0).all()
    assert metrics["step"] == 1  # The mean of 0, 1, 2.
    assert len(calls) == (3 if name == "hosted" else 0)

    # A second epoch goes on counting steps: its draws are new ones.
    state, _ = epoch_fn(state, data.on_device(), jax.random.key(1))
    draws = np.asarray(state.variables["params"]["draws"])
    assert len(np.unique(draws[:6])) == 6 and state.step == 6


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (6, 3), (2, 5), (1, 4)])
def test_an_order_is_a_permutation_filled_up(n, batch_size):
    order = np.asarray(loop.epoch_order(jax.random.key(n), n, batch_size))
    assert order.shape == (-(-n // batch_size), batch_size)
    flat = order.ravel()
    np.testing.assert_array_equal(np.sort(flat[:n]), np.arange(n))
    np.testing.assert_array_equal(flat[n:], np.resize(flat[:n], len(flat))[n:])


def test_orders_differ_by_key():
    orders = [np.asarray(loop.epoch_order(jax.random.key(k), 50, 10)) for k in (0, 1)]
    assert (orders[0] != orders[1]).mean() > 0.8


def test_a_training_step_exports_for_cpu_cuda_and_tpu():
    objective, optimiser, variables = conv_problem()

    def step(state, batch, key_data):
        key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        return loop.train_step(objective, optimiser, state, batch, key)

    images, labels = digits().on_device().batch(jnp.arange(BATCH))
    state = train.new_state(variables, optimiser)
    arguments = (
        state,
        Batch(images, labels, jnp.arange(BATCH)),
        jax.random.key_data(jax.random.key(0)),
    )
    shapes = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), jax.tree.leaves(arguments)
    )
    structure = jax.tree.structure(arguments)

    def flat(*leaves):  # An exported function takes arrays, not our own types.
        return jax.tree.leaves(step(*jax.tree.unflatten(structure, leaves)))

    platforms = ("cpu", "cuda", "tpu")
    exported = jax.export.export(jax.jit(flat), platforms=platforms)(*shapes)
    assert exported.platforms == platforms
    text = exported.mlir_module()
    for forbidden in ("f64", "callback", "tensor<?"):
        assert forbidden not in text
    assert "convolution" in text
