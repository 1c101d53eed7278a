"""JSMA beside every pair tried in NumPy, where its optimum is known, and its goals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient, exact
from robust_jax.attacks.nearest.jsma import Candidates, jsma, pairs, singles
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from tests import victims
from tests.attacks.programs import to_the_end
from tests.reference import jsma as reference

N, SIZE, CLASSES = 12, 40, 4


@functools.cache
def problem():
    model = victims.two_layer_victim((SIZE,), CLASSES, seed=3, scale=1.5)
    images = victims.inputs((SIZE,), N, seed=4, low=-0.2, high=1.2).clip(0, 1)
    return model, images, victims.predicted(model, images)


def fewest(attack, goal=None, eps=np.inf, problem=problem):
    model, images, labels = problem()
    keys = lift.item_keys(0, np.arange(len(images), dtype=np.uint64))
    goal = Untargeted(labels) if goal is None else goal
    found = to_the_end(attack)(keys, model, threats.L0(np.float32(eps)), images, goal)
    return jax.tree.map(np.asarray, found)


def by_hand(settings, targets, most=np.inf):
    model, images, labels = problem()
    weights = [np.asarray(a, float) for a in model.args[0]]
    return np.stack(
        [
            reference.jsma(weights, x, y, t, *settings, most)
            for x, y, t in zip(images.astype(float), labels, targets, strict=True)
        ]
    )


BOTH = (0.25, -0.25)
SETTINGS = {
    "up": (jsma(30), ((1.0,), 2, 30)),
    "down": (jsma(30, (-1.0,)), ((-1.0,), 2, 30)),
    "both": (jsma(30, BOTH), (BOTH, 2, 30)),
    "one by one": (jsma(30, BOTH, singles), (BOTH, 1, 30)),
}


@pytest.mark.parametrize("which", SETTINGS)
def test_takes_the_best_of_all_pairs_until_it_wins(which):
    attack, settings = SETTINGS[which]
    found, expected = fewest(attack), by_hand(settings, [None] * N)
    won = found.margin >= 0
    assert won.mean() > 0.5
    np.testing.assert_allclose(found.x_adv[won], expected[won], atol=1e-6)
    moved = (np.abs(expected - problem()[1]) > 1e-6).sum(axis=1)
    np.testing.assert_array_equal(found.distance[won], moved[won])


def test_eps_caps_the_pairs():
    attack, settings = SETTINGS["both"]
    model, _, labels = problem()
    for eps in (3, 4):
        found, points = fewest(attack, eps=eps), by_hand(settings, [None] * N, eps)
        assert (found.distance <= eps).all()
        won = victims.predicted(model, points.astype(np.float32)) != labels
        assert 0 < won.sum() < N
        np.testing.assert_array_equal(found.margin >= 0, won)
        np.testing.assert_allclose(found.x_adv[won], points[won], atol=1e-6)


@pytest.mark.parametrize("kind", [Towards, Reach])
def test_the_target_is_the_goals(kind):
    _, _, labels = problem()
    attack, settings = SETTINGS["both"]
    target = (labels + 1) % CLASSES
    goal = Towards(labels, target) if kind is Towards else Reach(target)
    found = fewest(attack, goal)
    assert (found.margin >= 0).mean() > 0.5
    if kind is Towards:  # The oracle stops at any error.
        won = found.margin >= 0
        expected = by_hand(settings, target)
        np.testing.assert_allclose(found.x_adv[won], expected[won], atol=1e-6)
        return
    reached = victims.predicted(problem()[0], found.x_adv) == target
    np.testing.assert_array_equal(reached, found.margin >= 0)


LEADS = np.linspace(0.5, 8, N)  # Of the label.


def plane(slope, lead, x):
    rise = (slope @ (x - 0.5) - lead) / 2
    return jnp.stack([-rise, rise])


@pytest.mark.parametrize(("choose", "at_once"), [(singles, 1), (pairs, 2)])
def test_fewest_coordinates_of_an_affine_model_of_two_classes(choose, at_once):
    """From the middle of the box, where every coordinate has the same room."""
    slope = np.random.default_rng(2).normal(size=SIZE).astype(np.float32)
    run = drive.run(jsma(40, (1.0, -1.0), choose), to_the_end=True)

    def one(key, lead, x):
        goal, model = Untargeted(jnp.asarray(0)), Partial(plane, slope, lead)
        return run(key, model, threats.L0(jnp.inf), x, goal)

    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    images = np.full((N, SIZE), 0.5, np.float32)
    found = jax.jit(jax.vmap(one))(keys, LEADS.astype(np.float32), images)
    gains = np.cumsum(np.sort(0.5 * np.abs(slope))[::-1])
    optimum = 1 + np.searchsorted(gains, LEADS)
    assert len(set(optimum)) > 5 and (found.margin >= 0).all()
    even = -(-optimum // at_once) * at_once
    np.testing.assert_array_equal(found.distance, even)
    np.testing.assert_array_equal(found.forwards, 2 + even // at_once)


@pytest.mark.parametrize("entries", [2**20, 1000])  # Blocks of 64 rows, and of 5.
def test_pairs_of_many_blocks_are_those_of_the_whole_table(entries, monkeypatch):
    monkeypatch.setitem(pairs.__globals__, "_ENTRIES", entries)
    rng = np.random.default_rng(0)
    c = 200
    rise, others = rng.normal(size=(2, c)).astype(np.float32)
    allowed, new = rng.uniform(size=(2, c)) < 0.7
    place = np.arange(c) % 100
    candidates = jax.tree.map(
        jnp.asarray,
        Candidates(rise, others, rise, allowed, new.astype(np.int32), place),
    )
    for room in (1.0, 2.0):
        a, b = rise[:, None] + rise, others[:, None] + others
        table = np.where((a > 0) & (b < 0), -a * b, 0)
        table *= allowed[:, None] & allowed & (place[:, None] != place)
        table *= new[:, None] * 1 + new <= room
        some, chosen = pairs(candidates, jnp.asarray(room))
        assert some and set(chosen.tolist()) == set(
            np.unravel_index(table.argmax(), table.shape)
        )
    nothing = candidates._replace(allowed=jnp.zeros(c, bool))
    assert not pairs(nothing, jnp.inf)[0] and not singles(nothing, jnp.inf)[0]


def test_a_coordinate_never_turns_back():
    """The first one overshoots its peak and stays there; the second one goes on."""

    def hill(x):
        lead = 0.1 * x[1] - 4 * (x[0] - 0.6) ** 2 - 1
        return jnp.stack([-lead, lead])

    run = drive.run(jsma(20, (0.25, -0.25), singles), to_the_end=True)
    goal, x = Untargeted(jnp.asarray(0)), jnp.full(2, 0.5)
    found = run(jax.random.key(0), hill, threats.L0(2.0), x, goal)
    assert found.forwards == 1 + 4  # At x, and after the moves of 1st, 2nd and 2nd.


def test_goes_on_where_all_logits_rise_together():
    """Then no saliency is positive; the target still gains on the others."""
    model, images, labels = problem()
    slopes = jnp.asarray(np.sign(model.args[0][0][0]) * 50)

    def lifted(weights, x):
        return victims.two_layers(weights, x) + slopes @ x

    def problem_of_lifted():
        return Partial(lifted, model.args[0]), images, labels

    found = fewest(jsma(30, BOTH), problem=problem_of_lifted)
    assert (found.margin >= 0).mean() > 0.5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"changes": ()}, "expected a tuple of numbers, none 0"),
        ({"changes": (1.0, 0.0)}, "expected a tuple of numbers, none 0"),
        ({"changes": 1.0}, "expected a tuple of numbers, none 0"),
    ],
)
def test_refuses_what_makes_no_sense(settings, said):
    with pytest.raises(ValueError, match=said):
        jsma(**settings)


def test_needs_l0_and_a_gradient_without_memory():
    model, images, labels = problem()
    key, goal = jax.random.key(0), Untargeted(labels[0])
    with pytest.raises(ValueError, match=r"expected threats.L0 for jsma"):
        drive.run(jsma())(key, model, threats.L2(1.0), images[0], goal)
    remembering = Gradient(jnp.zeros_like, exact().estimate, 1, 1)
    with pytest.raises(ValueError, match="gradient with a memory"):
        drive.run(jsma(gradient=remembering))(
            key, model, threats.L0(1.0), images[0], goal
        )
