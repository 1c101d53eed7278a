"""Results depend on the examples alone: not on how the work was cut or where it ran.

With attacks whose steps are not signs, so that any rounding would show in the bytes.
"""

import functools
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent import futures
from unittest import mock

import numpy as np
import pytest

from robust_jax.evaluate import Layout
from tests.evaluate import invariance_cases as cases
from tests.evaluate.invariance_cases import PLANS, TILE

FEW = 200
EACH = pytest.mark.parametrize("name", PLANS)


def _full_but(few, cases):
    """Compiling for many devices and long rows of calls are dear: most are `full`."""
    return [
        pytest.param(*case, marks=() if case in few else pytest.mark.full)
        for case in cases
    ]


@pytest.fixture(scope="module")
def findings():
    """Finds what `cases` does, in a process that compiles as users do."""
    spawn = multiprocessing.get_context("spawn")
    start = cases.compile_as_users_do
    with futures.ProcessPoolExecutor(1, spawn, start) as process:
        with mock.patch.dict(os.environ, XLA_FLAGS=cases.flags()):
            process.submit(os.getpid).result()
        yield lambda *case, **options: process.submit(
            cases.found, *case, **options
        ).result(timeout=900)


@pytest.fixture(scope="module")
def whole(findings):
    return functools.cache(lambda name: findings(name, slice(0, FEW)))


def assert_same(ours, theirs, some=slice(None)):
    for field, value in ours.items():
        np.testing.assert_array_equal(value, theirs[field][some], err_msg=field)


@EACH
def test_some_fall_and_some_hold(whole, name):
    found = whole(name)
    assert 20 < (found["winner"] == 0).sum() < FEW - 20
    if name != "square":  # Later items win, too.
        assert len(set(found["place"])) > 2


@EACH
@pytest.mark.parametrize(
    ("batch", "count"),
    _full_but(
        [(1, 12), (7, 70), (50, FEW)], [(1, 12), (7, 70), (50, FEW), (1, FEW), (7, FEW)]
    ),
)
def test_user_batches(findings, whole, name, batch, count):
    parts = [
        findings(name, slice(first, min(first + batch, count)))
        for first in range(0, count, batch)
    ]
    joined = {field: np.concatenate([p[field] for p in parts]) for field in parts[0]}
    assert_same(joined, whole(name), slice(0, count))


@EACH
def test_order(findings, whole, name):
    order = np.random.default_rng(0).permutation(FEW)
    assert_same(findings(name, order), whole(name), order)


@EACH
def test_the_first_hundred_of_a_thousand(findings, whole, name):
    everything = findings(name)
    assert_same(findings(name, slice(0, 100)), everything, slice(0, 100))
    assert_same(whole(name), everything, slice(0, FEW))


@EACH
@pytest.mark.parametrize("tiles", [1, 4])
@pytest.mark.parametrize("chunk", [1, 7, 60])
def test_tiles_in_flight_and_chunks(findings, whole, name, tiles, chunk):
    layout = Layout(tile=TILE, tiles=tiles, chunk=chunk)
    found = findings(name, slice(0, FEW), layout=layout)
    assert_same(found, whole(name))


@pytest.mark.parametrize(
    ("name", "count"),
    _full_but([("apgd", 3)], [("apgd", 3), *((name, 8) for name in PLANS)]),
)
def test_one_device_and_several(name, count):
    one, several = _on_devices(name, 1), _on_devices(name, count)
    assert (one["devices"], several["devices"]) == (1, count)
    assert one["digest"] == several["digest"]


@EACH
def test_other_tiles_differ_by_rounding_at_most(findings, whole, name, record_property):
    """Across tile sizes bits may differ; a flag only where the margin is near zero."""
    other = findings(name, slice(0, FEW), layout=Layout(tile=24))
    differ = np.flatnonzero(other["winner"] != whole(name)["winner"])
    assert (np.abs(whole(name)["best_margin"][differ]) < 1e-4).all()
    record_property("flags that differ between tiles of 16 and 24", len(differ))
    assert len(differ) <= 2


def _on_devices(name, count):
    """In a process of its own, whose other flags, and programs, are those of here."""
    own = f"--xla_force_host_platform_device_count={count}"
    flags = f"{cases.flags()} {own}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.evaluate.invariance_cases", name],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
