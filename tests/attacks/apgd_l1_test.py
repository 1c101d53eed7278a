"""L1-APGD beside the oracle, and where the optimum is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.ascent.apgd_l1 import apgd_l1, at_gaussian
from robust_jax.attacks.skeletons import radius_schedule
from robust_jax.core import lift
from robust_jax.core.margin import margin
from robust_jax.core.types import Untargeted
from tests import victims
from tests.reference import apgd_l1 as reference, projections

ALONE, SHRINKING = (1.0,), (3.0, 2.0, 1.0)
N, SIZE, EPS = 4, 24, 1.75  # A radius that float32 holds.
each_kind = pytest.mark.parametrize("radii", [ALONE, SHRINKING])


def partly_at_the_faces(seed, n=1):
    """A third of the coordinates on a face of the box."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(size=(n, SIZE))
    return np.where(np.arange(SIZE) % 3 == 0, images.round(), images).astype(np.float32)


def logits(weights, x):
    """A tanh net and an affine model in one, so that they share compiled programs."""
    net, affine, bias = weights
    return victims.two_layers(net, x) + affine @ x + bias


def net():
    """The net alone, and its weights in float64."""
    weights = victims.two_layer_victim((SIZE,), 4, seed=3, scale=8.0).args[0]
    model = Partial(logits, (weights, jnp.zeros((4, SIZE)), jnp.zeros(4)))
    return model, jax.tree.map(lambda a: np.asarray(a, np.float64), weights)


def slopes():
    return np.random.default_rng(5).normal(size=SIZE).astype(np.float32)


def rise():
    """The affine model alone; the margin of label 0 is slopes @ x - 3."""
    no_net = jax.tree.map(jnp.zeros_like, net()[0].args[0][0])
    affine = jnp.zeros((4, SIZE)).at[1].set(slopes())
    return Partial(logits, (no_net, affine, jnp.array([0.0, -3.0, -100, -100])))


@functools.cache
def program(radii, start=at_gaussian):
    """The iterates of all calls [N, calls, SIZE] and the result, of 100 steps."""
    attack = apgd_l1(radii=radii, start=start)

    def one(key, model, threat, image, goal):
        def step(state, _):
            return attack.step(model, threat, state), state.iterate

        state = attack.init(key, threat, image, goal, jnp.zeros(2))
        state, iterates = jax.lax.scan(step, state, length=attack.steps)
        return iterates, attack.finish(threat, state)

    return jax.jit(jax.vmap(one, in_axes=(0, None, None, 0, 0)))


def attacked(radii, model, eps, images, labels, **kwargs):
    keys = lift.item_keys(0, np.arange(len(images), dtype=np.uint64))
    goal = Untargeted(np.asarray(labels, np.int32))
    return program(radii, **kwargs)(keys, model, threats.L1(eps), images, goal)


@each_kind
def test_trajectory_is_that_of_the_oracle(radii):
    """100 steps: a checkpoint after every fourth, or 30, 30 and 40 of every one.

    In float64, where no rounding decides which of two values is larger.
    """
    images, returns = partly_at_the_faces(0, N), []
    model, weights = net()
    labels = victims.predicted(model, images)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (model, images))
        found, _ = attacked(radii, wide[0], EPS, wide[1], labels)
    for iterates, image, label in zip(found, images, labels, strict=True):
        x0, start = np.asarray(image, float), np.asarray(iterates[0], float)
        arguments = (weights, x0, start, label, EPS)
        if radii == ALONE:
            expected, count = reference.single(*arguments, 100)
        else:
            expected, count = reference.shrinking(*arguments, (30, 30, 40))
        np.testing.assert_allclose(iterates, expected, atol=2e-7)
        returns.append(count)
    if radii == ALONE:
        assert (
            min(returns) >= 1
        )  # The peak got sparser, and the ascent went back to it.


@each_kind
def test_every_stage_stays_inside_its_radius_and_the_box(radii):
    model, images = net()[0], partly_at_the_faces(0, N)
    labels = victims.predicted(model, images)
    found, result = attacked(radii, model, EPS, images, labels)
    of_all = jax.vmap(jax.vmap(lambda x, y: margin(model(x), Untargeted(y)), (0, None)))
    margins = np.asarray(of_all(found, labels))
    found, images = np.asarray(found, np.float64), np.asarray(images, np.float64)
    sizes = np.abs(found - images[:, None]).sum(2)
    allowed = {ALONE: [1] * 101, SHRINKING: [3] * 31 + [2] * 31 + [1] * 41}[radii]
    assert (sizes <= EPS * np.array(allowed) * (1 + 1e-6)).all()
    assert (found >= 0).all() and (found <= 1).all()
    if radii == SHRINKING:
        assert (sizes[:, 1:31].max(1) > 2.9 * EPS).all()
        assert (sizes[:, 31:62].max(1) > 1.9 * EPS).all()
    distance = np.abs(np.asarray(result.x_adv, np.float64) - images).sum(1)
    assert (distance <= EPS + 1e-6).all()
    np.testing.assert_allclose(result.distance, distance, atol=1e-6)
    # None is lost because its distance is rounded to more than eps.
    inside = np.where(sizes <= EPS + 1e-6, margins, -np.inf)
    np.testing.assert_allclose(result.margin, inside.max(1), rtol=1e-5)
    assert (result.forwards == len(allowed)).all()
    assert (result.backwards == len(allowed)).all()


def test_comes_near_the_optimum_away_from_the_box():
    """Not to it: where two coordinates are changed, every step moves both of them."""
    images = np.full((N, SIZE), 0.5, np.float32)
    optimum = 0.35 * np.abs(slopes()).max()
    for radii in (ALONE, SHRINKING):
        gain = gained(radii, images, 0.35)
        assert (gain >= 0.9 * optimum).all() and (gain <= optimum + 1e-5).all()


def test_comes_near_the_optimum_where_the_box_is_active():
    """Alone it may stall: the steepest coordinates are at their faces by then."""
    images = partly_at_the_faces(3, N)
    moves = np.stack([greedily_filled(x, slopes(), 3.0) for x in images])
    ends, optimum = images + moves, (moves * slopes()).sum(1)
    assert ((ends == 0) | (ends == 1)).mean() >= 0.3
    gain = gained(SHRINKING, images, 3.0)
    assert (gain >= 0.9 * optimum).all() and (gain <= optimum + 1e-4).all()
    assert (gain >= 0.99 * optimum).mean() >= 0.5


def gained(radii, images, eps):
    """The best margin on an affine model less that of the image."""
    _, result = attacked(radii, rise(), eps, images, np.zeros(len(images)))
    return result.margin - (images @ slopes() - 3.0)


def greedily_filled(x, slope, eps):
    """The steepest coordinates first, each to its face, until eps is used up."""
    move, left = np.zeros(len(x)), eps
    for j in np.argsort(-np.abs(slope)):
        room = float(1 - x[j] if slope[j] > 0 else x[j])
        move[j] = np.sign(slope[j]) * min(room, left)
        left -= abs(move[j])
    return move


def test_the_best_iterate_inside_eps_is_kept_from_any_stage():
    """The start is inside eps, though its stage is wider; for half it is the best."""
    images = victims.inputs((SIZE,), N, seed=2, high=0.9)
    images[: N // 2] = np.pi / 40 * 13 - 0.01  # The cosines are -1 at the start.
    found, result = attacked(
        SHRINKING, Partial(victims.wavy), 0.3, images, np.ones(N), start=a_little_off
    )
    found, images = np.asarray(found, np.float64), np.asarray(images, np.float64)
    inside = np.abs(found - images[:, None]).sum(2) <= 0.3 + 1e-6
    margins = -(5 + np.cos(40.0 * found).sum(2))
    assert (margins.max(1) > np.where(inside, margins, -np.inf).max(1) + 0.1).any()
    margins = np.where(inside, margins, -np.inf)
    np.testing.assert_allclose(result.margin, margins.max(1), atol=1e-3)
    assert (margins[: N // 2].argmax(1) < 31).all()
    assert (margins[N // 2 :].argmax(1) >= 62).all()
    assert (margins.max(1) > margins[:, -1] + 1e-3).any()


def a_little_off(key, threat, x):
    return x + 0.01


def test_a_start_without_a_value_is_left_behind():
    """The objective has no number there; any number at a later iterate is a rise."""

    def objective(logits, goal):
        return jnp.where(logits[1] == logits[0], jnp.nan, logits[1])

    attack, goal = apgd_l1(objective, 1, ALONE), Untargeted(0)
    step = jax.jit(attack.step)
    model = Partial(lambda x: jnp.stack([jnp.zeros(()), x[0] - 0.5]))
    image, threat = jnp.full(SIZE, 0.5), threats.L1(0.2)
    state = attack.init(jax.random.key(0), threat, image, goal, jnp.zeros(2))
    for first in (0.5, 0.4):
        at = image.at[0].set(first)
        state = step(model, threat, state._replace(iterate=at))
        assert state.highest.x[0] == first


def test_the_default_start_is_gaussian_noise_projected_on_the_first_radius():
    image = partly_at_the_faces(4)[0]
    images = np.repeat(image[None], N, axis=0)
    found, _ = attacked(SHRINKING, rise(), 0.5, images, np.zeros(N))
    starts = np.asarray(found[:, 0], np.float64)
    np.testing.assert_allclose(np.abs(starts - image).sum(1), 1.5, rtol=1e-5)
    assert (np.abs(starts[1:] - starts[0]).max(1) > 0.1).all()
    noise = np.random.default_rng(0).normal(size=(20, SIZE))
    usual = [
        (projections.by_bisection("l1", image + z, image, 1.5, 0, 1) != image).sum()
        for z in noise
    ]
    moved = (starts != image).sum(1)
    assert min(usual) <= moved.min() and moved.max() <= max(usual) < SIZE


@pytest.mark.parametrize("radii", [ALONE, (2.0, 1.0), SHRINKING])
def test_every_budget_is_spent_with_a_step_for_each_stage(radii):
    most = 60
    call = jax.jit(jax.vmap(lambda n, i: radius_schedule.call(n, radii, i), (None, 0)))
    for steps in range(len(radii), most):
        count = apgd_l1(steps=steps, radii=radii).steps
        assert count == steps + len(radii)
        padded = call(steps, jnp.arange(most + len(radii)))  # One program for all.
        calls = jax.tree.map(lambda a: np.asarray(a)[:count], padded)  # noqa: B023
        starts, ends = np.flatnonzero(calls.starts), np.flatnonzero(calls.ends)
        assert ends.tolist() == [*(starts[1:] - 1), count - 1]
        lengths = ends - starts
        assert len(lengths) == len(radii) and lengths.min() >= 1
        assert lengths[-1] >= lengths[0]
        np.testing.assert_array_equal(calls.length, np.repeat(lengths, lengths + 1))
        np.testing.assert_allclose(calls.radius, np.repeat(radii, lengths + 1))
        after = np.append(calls.radius[1:], radii[-1])
        np.testing.assert_array_equal(calls.next_radius, after)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: apgd_l1(steps=0), "steps=0; expected an integer >= 1"),
        (lambda: apgd_l1(steps=2), "steps=2; expected at least one for each of the 3"),
        (lambda: apgd_l1(radii=()), r"radii=\(\); expected a tuple of multiples"),
        (lambda: apgd_l1(radii=(3.0, 2.0)), r"radii=\(3.0, 2.0\); .* ends in 1"),
        (lambda: apgd_l1(radii=(-1.0, 1.0)), r"radii=\(-1.0, 1.0\); .* of eps > 0"),
        (lambda: apgd_l1(radii=(float("nan"), 1.0)), r"radii=\(nan, 1.0\); expected"),
        (lambda: apgd_l1(radii=True), "radii=True; expected a tuple"),
    ],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_other_norms_are_referred_to_apgd(norm):
    threat, image = threats.by_name(norm)(0.1), jnp.full(SIZE, 0.5)
    with pytest.raises(ValueError, match=r"expected threats.L1; use apgd for"):
        apgd_l1().init(jax.random.key(0), threat, image, Untargeted(0), jnp.zeros(2))
