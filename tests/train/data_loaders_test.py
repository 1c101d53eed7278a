"""Examples come from the host's memory as they do from the device's."""

import functools
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from robust_jax import datasets, train
from robust_jax.train import data_loaders, loop, setup as setups

N, M = 50, 20
RECIPE = train.recipe(
    "digits",
    {
        "model": "mlp",
        "model_config.hidden": "[8]",
        "data.batch_size": 16,
        "data.extra_share": 0.25,
        "data.augment": "crop-1",
        "data.mixture": "mixup-1.0",
        "epochs": 2,
    },
)


@functools.cache
def data():
    """Fifty digits, and twenty others of another scale."""
    digits = datasets.load("digits", "train")
    more = digits.take(np.arange(N, N + M))
    images, table = more.images, np.arange(256)
    more = datasets.Dataset(
        "brighter",
        "train",
        table[images * 3].astype(np.uint8),
        more.labels,
        more.ids,
        10,
        48,
    )
    return digits.take(np.arange(N)), more


def test_steps_have_the_examples_of_the_order():
    own, extra = data()
    there, here = (
        data_loaders.DeviceLoader(own.on_device(), extra.on_device()),
        data_loaders.HostLoader(*data()),
    )
    assert there.sizes() == here.sizes() == (N, M)
    batching = RECIPE.batching(10)
    order = np.asarray(batching.order(jax.random.key(0), N, M))
    steps = list(here.steps(order, batching.own(), None))
    assert len(steps) == len(order) == 5
    for (examples, positions), row in zip(steps, order, strict=True):
        np.testing.assert_array_equal(positions, row)
        assert len(examples.data.labels) == 12 and len(examples.extra.labels) == 4
        found = examples.at(positions, batching.own())
        expected = there.at(row, batching.own())
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_without_extra_data_there_is_none():
    own, _ = data()
    (step,) = data_loaders.HostLoader(own).steps(np.arange(7)[None], 7, None)
    images, labels = step[0].at(step[1], 7)
    np.testing.assert_array_equal(images, own.pixels()[:7])
    np.testing.assert_array_equal(labels, own.labels[:7])


def test_training_is_the_same_to_the_bit():
    own, extra = data()
    there, here = (
        train.fit(RECIPE, own, own, extra=extra, on_host=on_host)
        for on_host in (False, True)
    )
    jax.tree.map(np.testing.assert_array_equal, there.variables, here.variables)
    assert there.history["loss"] == here.history["loss"]


def test_a_stretch_in_an_epoch_may_end_early():
    own, extra = data()
    stop = iter([False, True, False, False])
    setup = train.set_up(
        RECIPE, own, extra=extra, on_host=True, on_step=lambda: next(stop)
    )
    state, metrics = setup.run(
        setup.fresh().state, setup.loader, setup.epochs_key, loop.StepRange(1, 5)
    )
    assert len(metrics["loss"]) == 2 and state.step == 2
    expected, _ = setup.run(
        setup.fresh().state, setup.loader, setup.epochs_key, loop.StepRange(1, 3)
    )
    jax.tree.map(np.testing.assert_array_equal, state.variables, expected.variables)


@pytest.mark.parametrize(
    ("stats", "fits"),
    [
        (None, True),
        ({}, True),
        ({"bytes_limit": 12_000}, True),
        ({"bytes_limit": 11_000}, False),
    ],
)
def test_data_stay_on_the_host_if_they_take_much_of_the_device(
    monkeypatch, stats, fits
):
    device = SimpleNamespace(memory_stats=lambda: stats)
    monkeypatch.setattr(data_loaders.jax, "local_devices", lambda: [device])
    own, extra = data()  # 70 images of 64 bytes.
    assert data_loaders.fits_the_device(own, extra) == fits
    assert data_loaders.fits_the_device(own, None)
    monkeypatch.undo()
    monkeypatch.setattr(setups, "fits_the_device", lambda *datasets: fits)
    kind = data_loaders.DeviceLoader if fits else data_loaders.HostLoader
    assert isinstance(train.set_up(RECIPE, own).loader, kind)
