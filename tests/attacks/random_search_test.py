"""SimBA, Sparse-RS and one pixel: searches whose best answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.queries import _frequencies as frequencies
from robust_jax.core import lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks.programs import to_the_end

SHAPE, N = (5, 4, 1), 4
SIZE = 20


def keys(n=N):
    return lift.item_keys(0, np.arange(n, dtype=np.uint64))


def problem():
    """Two classes whose boundary passes through the middle of the box."""
    weights = victims.affine_victim(SHAPE, 2).args[0]
    model = Partial(victims.affine, weights, -weights @ jnp.full(SIZE, 0.5))
    images = victims.inputs(SHAPE, N, low=0.2, high=0.8)
    return model, images, victims.predicted(model, images)


def gained(model, images, labels, result):
    """What the margin has gained, and the normal that it climbs, [N, SIZE]."""
    before = jax.vmap(lambda x, y: objectives.margin(model(x), Untargeted(y)))
    weights = np.asarray(model.args[0])
    normal = np.where(labels[:, None] == 0, weights[1] - weights[0], 0)
    normal = normal + np.where(labels[:, None] == 1, weights[0] - weights[1], 0)
    return np.asarray(result.margin - before(images, labels)), normal


def test_simba_moves_every_coordinate_up_or_down():
    model, images, labels = problem()
    run = to_the_end(attacks.simba(1 + 2 * SIZE, step_size=0.1))
    # Once through all coordinates, each the right way; the ball stops a second step.
    result = run(keys(), model, threats.Linf(0.1), images, Untargeted(labels))
    gain, normal = gained(model, images, labels, result)
    np.testing.assert_allclose(gain, 0.1 * np.abs(normal).sum(1), rtol=1e-4)


def test_simba_needs_two_queries_a_direction_at_most():
    """Down first: n ups cost one query more each."""
    model, images, labels = problem()
    _, normal = gained(model, images, labels, type("R", (), {"margin": 0.0}))
    ups = (normal > 0).sum(1)
    for queries, whole in [(1 + SIZE + ups.max(), True), (1 + SIZE, False)]:
        run = to_the_end(attacks.simba(int(queries), step_size=0.1))
        result = run(keys(), model, threats.L2(jnp.inf), images, Untargeted(labels))
        moved = (np.abs(result.x_adv - images) > 0.05).reshape(N, -1).sum(1)
        assert (moved == SIZE).all() == whole


def test_simba_along_waves_stays_among_them():
    model, images, labels = problem()
    run = to_the_end(attacks.simba(40, step_size=0.05, side=2))
    result = run(keys(), model, threats.L2(jnp.inf), images, Untargeted(labels))
    delta = np.asarray(result.x_adv - images, np.float64)[..., 0]
    down, across = frequencies.cosines(5, 5), frequencies.cosines(4, 4)
    amounts = np.einsum("nhw,ah,bw->nab", delta, down, across)
    assert np.abs(amounts[:, :2, :2]).max() > 0.04
    outside = amounts.copy()
    outside[:, :2, :2] = 0
    assert np.abs(outside).max() < 1e-6


def test_sparse_rs_finds_the_best_coordinates():
    model, images, labels = problem()
    run = to_the_end(attacks.sparse_rs(1500))
    result = run(keys(), model, threats.L0(3.0), images, Untargeted(labels))
    gain, normal = gained(model, images, labels, result)
    flat = images.reshape(N, -1)
    best = np.abs(normal) * np.where(normal > 0, 1 - flat, flat)
    expected = np.sort(best, axis=1)[:, -3:].sum(1)
    np.testing.assert_allclose(gain, expected, rtol=1e-4)
    assert (result.distance == 3).all()


def test_sparse_rs_with_all_coordinates_or_none():
    model, images, labels = problem()
    run = to_the_end(attacks.sparse_rs(400))
    goal = Untargeted(labels)
    result = run(keys(), model, threats.L0(30.0), images, goal)
    gain, normal = gained(model, images, labels, result)
    flat = images.reshape(N, -1)
    best = (np.abs(normal) * np.where(normal > 0, 1 - flat, flat)).sum(1)
    assert (gain > 0.8 * best).all()
    result = run(keys(), model, threats.L0(0.9), images, goal)
    np.testing.assert_array_equal(result.x_adv, images)


def test_one_pixel_finds_the_pixel():
    """Two channels: the best pixel goes to the corner of its colours."""
    shape = (4, 4, 2)
    weights = victims.affine_victim(shape, 2).args[0]
    model = Partial(victims.affine, weights, -weights @ jnp.full(32, 0.5))
    images = victims.inputs(shape, N, low=0.2, high=0.8)
    labels = victims.predicted(model, images)
    run = to_the_end(attacks.one_pixel(40, 200))
    result = run(keys(), model, threats.L0(2.0), images, Untargeted(labels))
    gain, normal = gained(model, images, labels, result)
    flat = images.reshape(N, -1)
    best = np.abs(normal) * np.where(normal > 0, 1 - flat, flat)
    expected = best.reshape(N, 16, 2).sum(2).max(1)
    np.testing.assert_allclose(gain, expected, rtol=1e-3)
    changed = (np.abs(result.x_adv - images) > 0).any(3).reshape(N, -1).sum(1)
    assert (changed == 1).all()


def test_waves_are_orthonormal():
    for size, count in [(8, 8), (5, 3), (1, 1)]:
        waves = frequencies.cosines(size, count)
        np.testing.assert_allclose(waves @ waves.T, np.eye(count), atol=1e-12)
        assert (
            np.abs(np.diff(np.sign(waves), axis=1)).sum(1) / 2 == range(count)
        ).all()


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: attacks.simba(0), "queries=0"),
        (lambda: attacks.simba(1, step_size=0.0), "step_size=0"),
        (lambda: attacks.simba(1, side=0), "side=0"),
        (lambda: attacks.sparse_rs(1, initial_share=0.0), "initial_share=0"),
        (lambda: attacks.one_pixel(0), "generations=0"),
        (lambda: attacks.one_pixel(1, population=3), "population=3"),
        (lambda: attacks.one_pixel(1, pixels=0), "pixels=0"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize("attack", [attacks.sparse_rs(1), attacks.one_pixel(1)])
def test_norms_other_than_l0_are_refused(attack):
    with pytest.raises(ValueError, match="threat=Linf; expected L0"):
        attack.init(
            keys(1)[0], threats.Linf(1.0), jnp.zeros(SHAPE), Untargeted(0), jnp.zeros(2)
        )
