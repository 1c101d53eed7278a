import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.threats import L0, L1, L2, Linf, ball_then_clip
from tests.reference import projections as oracle

ALL = ["linf", "l2", "l1", "l0"]


def moves(ball, x, x0):
    """What a ball does without chance, by name."""
    return {
        "project": ball.project(x, x0),
        "steepest": ball.steepest(jax.tree.map(jnp.subtract, x0, x), x0),
        "distance": ball.distance(x, x0),
    }


moves_of_one, moves_of_many = jax.jit(moves), jax.jit(jax.vmap(moves))
sample = jax.jit(lambda ball, key, x0: ball.sample(key, x0))
clip_after = jax.jit(ball_then_clip)


@functools.cache
def inputs(*shape):
    rng = np.random.default_rng(len(shape))
    x0 = np.where(rng.random(shape) < 0.3, 0.0, rng.random(shape)).astype(np.float32)
    return x0 + rng.normal(size=shape).astype(np.float32), x0


@pytest.mark.parametrize("norm", ALL)
def test_a_batch_of_radii_and_boxes_equals_one_by_one(norm):
    x, x0 = inputs(5, 2, 3)
    eps, upper = np.float32([0.0, 0.2, 1.0, 2.0, np.inf]), np.maximum(0.9, x0)
    balls = threats.by_name(norm)(eps, np.zeros(5, np.float32), upper)
    batch = moves_of_many(balls, x, x0)
    for i in range(5):
        ball = jax.tree.map(lambda field, i=i: field[i], balls)
        one = moves_of_one(ball, x[i], x0[i])
        for way, found in one.items():
            np.testing.assert_allclose(batch[way][i], found, atol=1e-6, err_msg=way)
    np.testing.assert_array_equal(batch["project"][0], x0[0])
    np.testing.assert_array_equal(batch["project"][4], np.clip(x[4], 0, upper[4]))


@pytest.mark.parametrize("norm", ["l2", "l0"])
def test_a_pytree_is_one_long_vector(norm):
    x, x0 = inputs(6)
    lower = np.minimum(x0, np.linspace(0, 0.2, 6, dtype=np.float32))
    key, eps = jax.random.key(3), np.float32(1.2)

    def tree(vector):
        return {"a": vector[:4].reshape(2, 2), "b": [vector[4:]]}

    ball = threats.by_name(norm)
    flat, deep = ball(eps, lower, 1.0), ball(eps, tree(lower), 1.0)
    expected = moves_of_one(flat, x, x0) | {
        "sample": sample(flat, key, x0),
        "ball_then_clip": clip_after(flat, x, x0),
    }
    found = moves_of_one(deep, tree(x), tree(x0)) | {
        "sample": sample(deep, key, tree(x0)),
        "ball_then_clip": clip_after(deep, tree(x), tree(x0)),
    }
    np.testing.assert_allclose(
        found.pop("distance"), expected.pop("distance"), rtol=1e-6
    )
    for way, vector in expected.items():
        for leaf, part in zip(
            jax.tree.leaves(found[way]), jax.tree.leaves(tree(vector)), strict=True
        ):
            np.testing.assert_allclose(leaf, part, atol=1e-6, err_msg=way)


@pytest.mark.parametrize("norm", ALL)
def test_dtype_is_kept_and_feasible_up_to_its_rounding(norm):
    dtype = jnp.dtype(jnp.bfloat16)
    x, x0 = (jnp.asarray(v, dtype) for v in inputs(784))
    ball = threats.by_name(norm)(jnp.float32(3.0))
    found = moves_of_one(ball, x, x0)
    found["sample"] = jax.eval_shape(ball.sample, jax.random.key(1), x0)
    distance = found.pop("distance")
    assert distance.dtype == jnp.float32
    assert {way: v.dtype for way, v in found.items()} == dict.fromkeys(found, dtype)
    delta = np.asarray(found["project"], np.float64) - np.asarray(x0, np.float64)
    unit = float(jnp.finfo(dtype).eps)  # Of values up to 1.
    rounding = {"linf": unit, "l2": unit * 28, "l1": unit * 784, "l0": 0}[norm]
    assert oracle.size(norm, delta) <= 3 + rounding


def test_a_bound_per_channel_broadcasts():
    x0, upper = jnp.full((4, 5, 3), 0.25), jnp.array([0.5, 0.75, 1.0])
    found = Linf(jnp.inf, 0.0, upper).project(x0 + 9, x0)
    np.testing.assert_array_equal(found, jnp.broadcast_to(upper, (4, 5, 3)))


def test_distances():
    x, x0 = jnp.array([[0.5, 0.25], [0.0, 1.0]]), jnp.array([[0.5, 1.0], [1.0, 1.0]])
    assert Linf(1.0).distance(x, x0) == 1
    assert L2(1.0).distance(x, x0) == 1.25
    assert L1(1.0).distance(x, x0) == 1.75
    assert L0(1.0).distance(x, x0) == 2


def test_l0_distance_counts_beyond_what_half_precision_can():
    zeros = jnp.zeros(1001, jnp.bfloat16)
    assert L0(1.0).distance(zeros + 1, zeros) == 1001


@pytest.mark.parametrize(
    ("ball", "expected"),
    [
        (L2(1.0), [1.0, 0.0]),
        (L2(0.5), [1.0, 0.1]),  # Scaled to [1.2, 0.1], a 3-4-5 triangle, then cut.
        (L1(0.3), [0.9, 0.2]),  # All of eps goes to the longer way.
        (Linf(0.25), [1.0, 0.25]),
        (L0(1.0), [0.9, 0.0]),
    ],
)
def test_ball_then_clip_forgets_the_box_first(ball, expected):
    x, x0 = jnp.array([2.1, -1.1]), jnp.array([0.9, 0.5])
    found = clip_after(ball, x, x0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_the_exact_projection_is_nearer_and_uses_all_of_eps(norm):
    x, x0 = inputs(200)
    ball = threats.by_name(norm)(np.float32(3.0))
    exact = np.asarray(moves_of_one(ball, x, x0)["project"])
    clipped = np.asarray(clip_after(ball, x, x0))
    assert oracle.size(norm, clipped - x0) < 2.8
    np.testing.assert_allclose(oracle.size(norm, exact - x0), 3.0, rtol=1e-5)
    assert ((exact - x) ** 2).sum() < ((clipped - x) ** 2).sum() - 0.1


def test_one_array_is_reshaped_not_copied():
    x = jnp.ones((2, 3, 1))
    text = str(jax.make_jaxpr(Linf(0.1).project)(x, x))
    assert "concatenate" not in text and "split" not in text


def test_a_radius_per_example_without_vmap_is_refused():
    with pytest.raises(AssertionError):
        L2(jnp.ones(3)).project(jnp.ones((3, 4)), jnp.ones((3, 4)))


@pytest.mark.parametrize("norm", ALL)
def test_by_name_finds_each(norm):
    assert threats.by_name(norm)(0.5).name == norm


@pytest.mark.parametrize(
    ("typo", "nearest"),
    [("Linf", "linf"), ("inf", "linf"), ("L2", "l2"), ("l_1", "l1")],
)
def test_by_name_suggests_the_nearest(typo, nearest):
    message = (
        f"unknown norm '{typo}'; did you mean '{nearest}'? (known: l0, l1, l2, linf, "
        "patch)"
    )
    with pytest.raises(ValueError) as error:
        threats.by_name(typo)
    assert str(error.value) == message
