import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.core import lift
from tests import victims

IDS = np.random.default_rng(0).integers(0, 2**64, 1500, np.uint64)
ITEM = {"stage": 1, "target": 2, "restart": 3}
N, SHAPE = 3, (3, 2)  # As many examples as rows: a box of a row is no list of boxes.


def words(seed, ids, **names):
    """The numbers of each key, shape [B, 2]."""
    return np.asarray(jax.random.key_data(lift.item_keys(seed, ids, **names)))


def test_a_key_depends_on_nothing_but_its_names():
    """Neither on order, subset or batch size, of which 1,500 needs two blocks."""
    everyone = words(0, IDS, **ITEM)
    for some in (np.arange(100), np.array([1400, 3, 3, 7]), np.arange(1500)[::-1]):
        np.testing.assert_array_equal(words(0, IDS[some], **ITEM), everyone[some])


def test_every_name_counts():
    one = np.array([5], np.uint64)
    keys = [words(0, one, **ITEM), words(1, one, **ITEM)]
    keys += [words(0, one, **{**ITEM, name: 7}) for name in ITEM]
    for order in ((2, 1, 3), (1, 3, 2)):  # Names are not added up.
        keys.append(words(0, one, **dict(zip(ITEM, order, strict=True))))
    # Ids that differ in the low or only in the high 32 bits, and with both swapped.
    keys += [
        words(0, np.array([i], np.uint64), **ITEM) for i in (6, 5 << 32, 5 + 2**32)
    ]
    for one, other in itertools.combinations(keys, 2):
        assert (one != other).any()


def test_all_examples_have_keys_of_their_own():
    assert len(np.unique(words(0, IDS), axis=0)) == len(IDS)


def test_keys_are_threefry_whatever_the_configuration_says():
    expected = words(0, IDS[:2])
    with jax.default_prng_impl("rbg"):
        keys = lift.item_keys(0, IDS[:2])
        np.testing.assert_array_equal(jax.random.key_data(keys), expected)
    assert str(jax.random.key_impl(keys)) == "threefry2x32"


def test_keys_never_change():
    """Published numbers can be had again: these are of the first version."""
    ids = np.array([0, 2**63 + 5], np.uint64)
    expected = [[1467695377, 3932638700], [2138504891, 2558768755]]
    np.testing.assert_array_equal(words(7, ids, **ITEM), expected)


def boxes():
    """Threats whose fields are scalars, of one example's shape, or per example."""
    eps = (0.5, np.array([0.25, 0.5, 0.75]))
    rng = np.random.default_rng(1)
    forms = ((), SHAPE, (2,), (N, *SHAPE))
    faces = [-rng.uniform(size=form).astype(np.float32) for form in forms]
    for radius, lower, upper in itertools.product(eps, faces, [1.0, 2 - faces[3]]):
        yield threats.L2(radius, lower, upper)


@pytest.mark.parametrize("threat", list(boxes()))
def test_threats_per_example(threat):
    x = victims.inputs(SHAPE, N)
    batch = lift.threat_per_example(threat, x)
    for field in jax.tree.leaves(batch):
        assert field.shape[0] == N and field.dtype == jnp.float32
    for i in range(N):
        one = jax.tree.map(lambda field: field[i], batch)  # noqa: B023
        assert one.eps == np.broadcast_to(threat.eps, N)[i]
        for ours, given in ((one.lower, threat.lower), (one.upper, threat.upper)):
            expected = np.broadcast_to(given, (N, *SHAPE))[i]
            np.testing.assert_array_equal(np.broadcast_to(ours, SHAPE), expected)


@pytest.mark.parametrize("threat", list(boxes()))
def test_the_threat_of_some_examples(threat):
    x, index = victims.inputs(SHAPE, N), np.array([2, 0, 2, 1])
    ours = lift.threat_per_example(lift.threat_of(threat, x, index), x[index])
    everyone = lift.threat_per_example(threat, x)
    for field, whole in zip(*map(jax.tree.leaves, (ours, everyone)), strict=True):
        np.testing.assert_array_equal(field, whole[index])


def test_threats_keep_up_with_float64():
    with jax.enable_x64(True):
        batch = lift.threat_per_example(threats.L2(0.1), jnp.zeros((2, 3), jnp.float64))
        assert batch.eps.dtype == jnp.float64 and batch.eps[0] == 0.1
    half = lift.threat_per_example(threats.L2(0.1), jnp.zeros((2, 3), jnp.bfloat16))
    assert half.eps.dtype == jnp.float32


@pytest.mark.parametrize(
    ("n", "tile", "expected"),
    [
        (0, 4, []),
        (1, 4, [([0, 0, 0, 0], 1)]),
        (4, 4, [([0, 1, 2, 3], 4)]),
        (5, 2, [([0, 1], 2), ([2, 3], 2), ([4, 4], 1)]),
        (3, 1, [([0], 1), ([1], 1), ([2], 1)]),
    ],
)
def test_tiles(n, tile, expected):
    assert [(list(index), real) for index, real in lift.tiles(n, tile)] == expected


def test_in_tiles_pads_drops_and_counts():
    n, tile, seen, done = 10, 4, [], []
    x, label = victims.inputs((3,), n), np.arange(n)
    keys, eps = lift.item_keys(0, label), np.linspace(0, 1, n, dtype=np.float32)

    def run_many(keys, double, threat, x, goal):
        seen.append(goal["label"])
        assert x.shape == (tile, 3)
        numbers = np.asarray(jax.random.key_data(keys))
        return {"x": double(x), "more": (numbers, threat.eps, goal["label"])}

    run = lift.in_tiles(run_many, tile=tile, on_tile=done.append)
    result = run(keys, lambda x: 2 * x, threats.L2(eps), x, {"label": label})
    np.testing.assert_array_equal(result["x"], 2 * x)
    numbers, radii, labels = result["more"]
    np.testing.assert_array_equal(numbers, jax.random.key_data(keys))
    np.testing.assert_array_equal(radii, eps)
    np.testing.assert_array_equal(labels, label)
    assert done == [4, 4, 2]
    # Padding repeats an example of its own tile, so that no foreign number enters.
    assert [list(labels) for labels in seen] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 8, 8],
    ]


def test_over_examples_gives_each_its_own():
    def run_one(key, logits_fn, threat, x, goal):
        return logits_fn(x) + threat.eps + goal, jax.random.key_data(key)

    x, label = victims.inputs(SHAPE, N), np.arange(N)
    keys, eps = lift.item_keys(0, label), np.array([0.0, 10.0, 20.0])
    run = lift.over_examples(run_one)
    total, numbers = run(keys, jnp.sum, threats.L2(eps), x, label)
    np.testing.assert_allclose(total, x.sum((1, 2)) + eps + label, rtol=1e-6)
    np.testing.assert_array_equal(numbers, jax.random.key_data(keys))
