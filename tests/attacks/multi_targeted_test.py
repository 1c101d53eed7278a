"""MultiTargeted where only a far class can be reached, and turns beside a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.ascent import gama
from robust_jax.attacks.ascent.multi_targeted import in_turn
from robust_jax.attacks.gradients.estimator import Estimate, Gradient
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims

EPS = 0.1


def dead_end(x):
    """Label 0; class 1 leads the others but cannot win, class 2 can, far behind."""
    u = (x[0] - 0.5) / EPS  # In [-1, 1] inside the ball.
    near = -0.5 - 0.3 * jnp.tanh(5 * u)  # Its slope points away from class 2's.
    return jnp.stack([jnp.zeros(()), near, 31 * u - 30, jnp.full((), -9.0)])


def test_a_far_target_is_found_where_the_margin_leads_to_a_dead_end():
    images = np.full((16, 3), 0.5, np.float32)
    keys = lift.item_keys(0, np.arange(16, dtype=np.uint64))

    @jax.jit
    def margins(keys, images):
        goal = Untargeted(jnp.zeros(16, jnp.int32))
        runs = (
            attacks.pgd(60, 0.1, objectives.margin),
            attacks.multi_targeted(20, 0.1, targets=3),
        )
        found = [
            lift.over_examples(drive.run(attack, to_the_end=True))(
                keys, dead_end, threats.Linf(EPS), images, goal
            )
            for attack in runs
        ]
        return [result.margin for result in found]

    plain, in_turn = margins(keys, images)
    np.testing.assert_allclose(in_turn, 1.0, atol=1e-4)
    assert (plain < 0).mean() > 0.8


def inner_goals(goal, clean_logits, targets, calls):
    """The goal and the iterate of every call, for an attack that does not move."""

    def estimate(query, memory):
        return Estimate(jnp.zeros(()), clean_logits, jnp.zeros_like(query.x)), memory

    gradient = Gradient(lambda x: (), estimate, 1, 1)
    attack = attacks.multi_targeted(2, 0.1, targets, gradient=gradient)
    threat = threats.Linf(EPS)

    def step(state, _):
        state = attack.step(None, threat, state)
        return state, (state.inner.goal, state.inner.iterate)

    @jax.jit
    def visit():
        state = attack.init(
            jax.random.key(0), threat, jnp.full(4, 0.5), goal, clean_logits
        )
        return jax.lax.scan(step, state, length=calls)

    return visit()


@pytest.mark.parametrize(
    ("clean_logits", "label", "targets", "order"),
    [
        ([0.1, 5.0, -2.0, 3.0, 4.0], 1, 9, [4, 3, 0, 2, 4, 3]),
        ([0.1, 5.0, -2.0, 3.0, 4.0], 3, 2, [1, 4]),
        ([1.0, 3.0, 1.0], 1, 3, [0, 2, 0]),  # A tie; the last turn goes round.
        ([1.0, 3.0], 0, 2, [1, 1]),
    ],
)
def test_turns_go_by_the_clean_logits_and_round(clean_logits, label, targets, order):
    goal, calls = Untargeted(jnp.asarray(label)), 3 * len(order)
    last, (goals, starts) = inner_goals(goal, jnp.asarray(clean_logits), targets, calls)
    np.testing.assert_array_equal(goals.target, np.repeat(order, 3))
    assert (goals.label == label).all()
    starts = np.asarray(starts).reshape(len(order), 3, 4)
    np.testing.assert_array_equal(starts, starts[:, :1].repeat(3, axis=1))
    assert len(np.unique(starts[:, 0], axis=0)) == len(order)  # Fresh ones.
    assert last.forwards == calls


@pytest.mark.parametrize("goal", [Towards(jnp.asarray(0), jnp.asarray(2)), Reach(2)])
def test_a_goal_with_a_target_keeps_it(goal):
    _, (goals, _) = inner_goals(goal, jnp.asarray([3.0, 2.0, 1.0]), 3, 9)
    assert (goals.target == 2).all() and type(goals) is type(goal)


def test_equals_a_loop_over_targets_written_out():
    model = victims.two_layer_victim((6,), 5, scale=3.0)
    images = victims.inputs((6,), 8, seed=3)
    labels, threat = victims.predicted(model, images), threats.Linf(0.15)
    keys = lift.item_keys(0, np.arange(8, dtype=np.uint64))
    attack = attacks.multi_targeted(6, 0.3, targets=3)
    one_turn = attacks.pgd(6, 0.3, objectives.margin)

    @jax.jit
    def both(keys, model, images, labels):
        def by_hand(key, model, threat, x, goal):
            order = jnp.argsort(model(x).at[goal.label].set(-jnp.inf), descending=True)
            run = drive.run(one_turn, to_the_end=True)
            one = lambda turn: run(  # noqa: E731
                jax.random.fold_in(key, turn),
                model,
                threat,
                x,
                Towards(goal.label, order[turn]),
            )
            return jax.vmap(one)(jnp.arange(3))

        runs = (drive.run(attack, to_the_end=True), by_hand)
        lifted = (lift.over_examples(run) for run in runs)
        return [f(keys, model, threat, images, Untargeted(labels)) for f in lifted]

    ours, turns = both(keys, model, images, labels)
    rows, best = np.arange(8), np.argmax(turns.margin, axis=1)
    np.testing.assert_allclose(ours.margin, turns.margin[rows, best], atol=1e-6)
    np.testing.assert_allclose(ours.x_adv, turns.x_adv[rows, best], atol=1e-6)
    assert len(np.unique(best)) == 3  # Each turn wins somewhere.
    # The loop evaluates the clean point once per turn.
    np.testing.assert_array_equal(ours.forwards, turns.forwards.sum(axis=1) - 2)
    np.testing.assert_array_equal(ours.backwards, turns.backwards.sum(axis=1))


def test_turns_of_an_attack_that_asks_for_clean_logits():
    """GAMA with restarts: the second turn is GAMA with the second key."""
    model = victims.two_layer_victim((6,), 5, scale=3.0)
    image = victims.inputs((6,), 1, seed=3)[0]
    goal = Untargeted(jnp.asarray(victims.predicted(model, image[None])[0]))
    once, threat, key = gama.gama_pgd(8), threats.Linf(0.15), jax.random.key(5)
    twice = in_turn(once, 2, lambda goal, clean_logits, turn: goal)

    @jax.jit
    def both(model, image):
        run, single = (drive.run(a, to_the_end=True) for a in (twice, once))
        keys = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(jnp.arange(2))
        turns = jax.vmap(lambda k: single(k, model, threat, image, goal))(keys)
        return run(key, model, threat, image, goal), turns

    ours, turns = both(model, image)
    best = np.argmax(turns.margin)
    np.testing.assert_allclose(ours.margin, turns.margin[best], atol=1e-6)
    np.testing.assert_allclose(ours.x_adv, turns.x_adv[best], atol=1e-6)
    assert twice.steps == 2 * once.steps


@pytest.mark.parametrize("argument", ["steps_per_target", "relative_step", "targets"])
def test_bad_arguments_are_refused_when_the_attack_is_made(argument):
    with pytest.raises(ValueError, match="=0; expected"):
        attacks.multi_targeted(**{argument: 0})
    with pytest.raises(ValueError, match="turns=0; expected an integer >= 1"):
        in_turn(attacks.pgd(), 0, lambda goal, logits, turn: goal)
