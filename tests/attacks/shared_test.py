"""Attacks that find one perturbation for many examples, each through one contract."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks import universal_perturbation
from robust_jax.core import compilation, drive
from robust_jax.core.types import Reach, Untargeted
from robust_jax.losses import objectives
from tests import victims

SHAPE, N = (6, 6, 1), 12
CASES = {
    "universal linf": (attacks.universal(40, 0.1), threats.Linf(0.2)),
    "universal l2": (attacks.universal(40, 0.1), threats.L2(1.0)),
    "trained_patch": (attacks.trained_patch(150, 0.1), threats.Patch(3.0)),
}
each = pytest.mark.parametrize("name", list(CASES))
KEY = jax.random.key(0)


def problem():
    """Images of one class of an affine model, whose best perturbation is known."""
    weights = victims.affine_victim(SHAPE, 2).args[0]
    images = victims.inputs(SHAPE, N, low=0.3, high=0.7)
    bias = -weights @ jnp.full(36, 0.5)
    return Partial(victims.affine, weights, bias + jnp.array([2.0, 0])), images


def found(name, seed=0):
    attack, threat = CASES[name]
    model, images = problem()
    goal = Untargeted(np.zeros(N, np.int32))
    run = drive.shared(attack, batch=6)
    return run(jax.random.key(seed), model, threat, images, goal)


def placed(name, shared):
    attack, threat = CASES[name]
    keys = jax.random.split(jax.random.key(5), N)
    one = jax.vmap(lambda k, x: attack.place(k, threat, x, shared))
    return np.asarray(one(keys, problem()[1]))


@each
def test_images_are_feasible_and_more_of_them_are_lost(name):
    model, images = problem()
    threat = CASES[name][1]
    made = placed(name, found(name))
    assert made.min() >= 0 and made.max() <= 1
    sizes = jax.vmap(threat.distance)(made, images)
    assert (sizes <= threat.eps + 1e-5).all()
    margin = jax.vmap(lambda x: objectives.margin(model(x), Untargeted(0)))
    assert margin(made).mean() > margin(images).mean() + 0.1


@each
def test_true_to_its_key(name):
    np.testing.assert_array_equal(found(name), found(name))
    assert (found(name, 1) != found(name)).any() or name.startswith("universal")


@each
def test_new_radii_and_weights_make_no_program_again(name):
    attack, threat = CASES[name]
    model, images = problem()
    run, lowered = drive.shared(attack._replace(steps=2), batch=4), []
    goal = Untargeted(np.zeros(N, np.int32))
    for k in (1, 2):
        weights = model.args[0] * k
        varied = threat.replace(eps=jnp.float32(k))
        net = Partial(victims.affine, weights, model.args[1])
        with compilation.recorded() as made:
            run(KEY, net, varied, images, goal)
        lowered.append(made.so_far.lowered)
    assert lowered[1] == 0


def test_the_best_universal_displacement_of_an_affine_model():
    model, _ = problem()
    normal = np.asarray(model.args[0][1] - model.args[0][0]).reshape(SHAPE)
    np.testing.assert_allclose(found("universal linf"), 0.2 * np.sign(normal))
    shared = np.asarray(found("universal l2"))
    assert np.linalg.norm(shared) == pytest.approx(1.0, rel=1e-5)
    # Where the box stops an image, its pixel does not ask for more.
    assert (shared * normal).sum() > 0.97 * np.linalg.norm(normal)


def test_images_that_are_lost_do_not_count():
    """The second class would be far easier: capped, it leaves the step to the first."""

    def model(x):
        return jnp.stack([0.0, jnp.where(x[0] > 0.5, 50.0 + 50 * x[1], x[2] - 0.9)])

    images = np.array([[0.2, 0.5, 0.5], [0.9, 0.5, 0.5]], np.float32)
    goal = Untargeted(np.zeros(2, np.int32))
    shared = [
        drive.shared(attacks.universal(5, 0.2, objectives.margin, most), 2)(
            KEY, model, threats.L2(0.1), images, goal
        )
        for most in (9.0, 1e6)
    ]
    assert shared[0][2] == pytest.approx(0.1) and shared[1][1] > 0.099


def test_a_patch_learns_its_target_wherever_it_lies():
    """The target likes bright pixels, anywhere."""

    def model(x):
        return jnp.stack([1.0, 0.0, jnp.sum(x) - 18.0])

    _, images = problem()
    attack, threat = attacks.trained_patch(100, 0.1), threats.Patch(3.0)
    goal = Reach(np.full(N, 2))
    shared = drive.shared(attack, 6)(KEY, model, threat, images, goal)
    np.testing.assert_allclose(shared[:3, :3], 1.0, atol=1e-3)
    keys = jax.random.split(KEY, N)
    made = jax.vmap(lambda k, x: attack.place(k, threat, x, shared))(keys, images)
    assert (victims.predicted(model, made) == 2).all()


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: attacks.universal(0), "steps=0"),
        (lambda: attacks.universal(relative_step=0.0), "relative_step=0"),
        (lambda: attacks.universal(most=0.0), "most=0"),
        (lambda: attacks.trained_patch(learning_rate=0.0), "learning_rate=0"),
        (
            lambda: attacks.trained_patch().init(
                KEY, threats.L2(1.0), jnp.zeros(SHAPE)
            ),
            "threat=L2; expected Patch",
        ),
        (lambda: attacks.ensemble([]), "models="),
        (lambda: attacks.ensemble([jnp.sin], [1.0, 2.0]), "expected 1 numbers"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises(ValueError, match=part):
        call()


def test_each_step_places_by_keys_of_its_own():
    """Each example's, too: the value is the mean of what they draw."""
    parts = universal_perturbation._Parts(
        start=lambda key, threat, x: jnp.zeros_like(x),
        place=lambda key, threat, x, found: x + found + jax.random.uniform(key),
        rule=lambda threat: optax.set_to_zero(),
        project=lambda threat, found: found,
        objective=objectives.margin,
    )
    attack, x = universal_perturbation._shared(parts, 3), jnp.zeros((2, 1))
    state, values = attack.init(KEY, threats.Linf(1.0), x[0]), []
    goal = Untargeted(jnp.zeros(2, jnp.int32))
    step = jax.jit(lambda s: attack.step(pair_of, threats.Linf(1.0), s, x, goal))
    for _ in range(3):
        state = step(state)
        values.append(float(state.value))
    assert len(set(values)) == 3 and 0 < min(values) < max(values) < 1


def pair_of(x):
    """Logits of two classes, whose margin is x."""
    return jnp.stack([0.0, x[0]])


def test_an_ensemble_is_the_mean_of_logits():
    one, two = (victims.two_layer_victim(SHAPE, 3, seed=s) for s in (0, 1))
    x = jnp.asarray(problem()[1][0])
    np.testing.assert_allclose(
        attacks.ensemble([one, two])(x), (one(x) + two(x)) / 2, rtol=1e-5
    )
    weighed = attacks.ensemble([one, two], [3, 1])(x)
    np.testing.assert_allclose(weighed, 0.75 * one(x) + 0.25 * two(x), rtol=1e-5)
