"""Projected attacks where the optimum is known, and beside an oracle in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.skeletons import projected
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.reference import pgd as reference, projections

N, SIZE = 4, 12
RADII = {"linf": 0.1, "l2": 0.3, "l1": 0.35, "l0": 2.0}
ATTACKS = {
    "fgsm": attacks.fgsm(),
    "pgd": attacks.pgd(20, 0.5),
    "mim": attacks.mim(20, 0.5),
    "nesterov": attacks.nesterov(20, 0.5),
    "adam_pgd": attacks.adam_pgd(20, 0.5),
}
# Every attack in Linf; the norms' own geometry by the one that all others resemble.
REACHES = [(name, "linf") for name in ATTACKS]
REACHES += [("fgsm", "l1"), ("pgd", "l2"), ("pgd", "l1"), ("pgd", "l0")]
FACTORIES = [attacks.fgsm, attacks.r_fgsm, attacks.bim, attacks.pgd]
FACTORIES += [attacks.mim, attacks.nesterov, attacks.adam_pgd]


def rise(slope, offset, x):
    """Two logits; the margin of label 0 is slope @ x - offset."""
    return jnp.stack([jnp.zeros(()), slope @ x - offset])


def slopes():
    return np.random.default_rng(5).normal(size=SIZE).astype(np.float32)


@functools.cache
def program(name):
    run = drive.run(ATTACKS[name], to_the_end=True)
    return jax.jit(lift.over_examples(run))


def attacked(name, norm, images, slope):
    """The largest margins within the budget, minus the clean ones, and the moves."""
    goal = Untargeted(np.zeros(len(images), np.int32))
    model, threat = Partial(rise, slope, 3.0), threats.by_name(norm)(RADII[norm])
    keys = lift.item_keys(0, np.arange(len(images), dtype=np.uint64))
    result = program(name)(keys, model, threat, images, goal)
    return result.margin - (images @ slope - 3.0), result.x_adv - images


@pytest.mark.parametrize(("name", "norm"), REACHES)
def test_reaches_eps_times_the_dual_norm_away_from_the_box(name, norm):
    images, slope = np.full((N, SIZE), 0.5, np.float32), slopes()
    largest_first = np.sort(np.abs(slope))[::-1]
    optimum = {
        "linf": RADII["linf"] * largest_first.sum(),
        "l2": RADII["l2"] * np.sqrt((largest_first**2).sum()),
        "l1": RADII["l1"] * largest_first[0],
        "l0": 0.5 * largest_first[:2].sum(),  # From grey to the faces of the box.
    }[norm]
    gain, _ = attacked(name, norm, images, slope)
    np.testing.assert_allclose(gain, optimum, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "norm"), [case for case in REACHES if case[1] == "linf"]
)
def test_linf_optimum_where_the_box_is_active(name, norm):
    images, slope = _near_the_faces(), slopes()
    best = np.clip(images + RADII[norm] * np.sign(slope), 0, 1)
    assert (np.abs(best - images) < RADII[norm] - 1e-6).mean() >= 0.3
    gain, _ = attacked(name, norm, images, slope)
    np.testing.assert_allclose(gain, (best - images) @ slope, rtol=1e-4)


def test_l2_optimum_where_the_box_is_active():
    """Water-filling: clip(level * slope) at the level whose length is eps."""
    images, slope = _near_the_faces(), slopes()
    best = np.stack([_water_filled(x, slope.astype(float)) for x in images])
    active = (images + best < 1e-9) | (images + best > 1 - 1e-9)
    assert active.mean() >= 0.3
    gain, moves = attacked("pgd", "l2", images, slope)
    np.testing.assert_allclose(gain, best @ slope, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1), 0.3, rtol=1e-4)


def _near_the_faces():
    """Two thirds of the coordinates within 0.02 of a face of the box."""
    rng = np.random.default_rng(6)
    near = rng.uniform(0, 0.02, (N, SIZE))
    faces = np.where(rng.random((N, SIZE)) < 0.5, near, 1 - near)
    inside = rng.uniform(0.3, 0.7, (N, SIZE))
    return np.where(np.arange(SIZE) % 3 < 2, faces, inside).astype(np.float32)


def _water_filled(x, slope):
    low, high = 0.0, 1e6
    for _ in range(200):
        level = (low + high) / 2
        move = np.clip(level * slope, -x, 1 - x)
        low, high = (low, level) if np.linalg.norm(move) > 0.3 else (level, high)
    return move


def test_the_best_iterate_is_kept_where_ascent_overshoots():
    attack, threat = attacks.pgd(10, 0.5), threats.Linf(0.15)
    images = victims.inputs((3,), 16, seed=2, high=0.2)
    keys = lift.item_keys(0, np.arange(16, dtype=np.uint64))
    goal = Untargeted(np.ones(16, np.int32))

    @jax.jit
    def both(keys, images, goal):
        last = lift.over_examples(drive.last_iterate(attack))
        best = lift.over_examples(drive.run(attack, to_the_end=True))
        return tuple(f(keys, victims.wavy, threat, images, goal) for f in (last, best))

    last, best = both(keys, images, goal)
    last_margin = -(5 + np.cos(40.0 * np.asarray(last)).sum(1))
    assert (best.margin >= last_margin - 1e-4).all()
    assert (best.margin > last_margin + 0.5).mean() > 0.3
    # More starts are stronger: of groups of four, the best beats the first.
    restarts = np.asarray(jnp.reshape(best.margin, (4, 4)))
    assert (restarts.max(1) > restarts[:, 0] + 0.01).any()


def test_stronger_with_eps_and_with_steps():
    model = victims.two_layer_victim((6,), 5, scale=3.0)
    image = victims.inputs((6,), 1, seed=3)[0]
    goal = Untargeted(victims.predicted(model, image[None])[0])
    attack = attacks.pgd(8, 0.2)

    def best_margins(eps):  # After each call: what a smaller budget would have given.
        def step(state, _):
            state = attack.step(model, threats.Linf(eps), state)
            return state, state.best.margin

        state = attack.init(
            jax.random.key(0), threats.Linf(eps), image, goal, jnp.zeros(2)
        )
        return jax.lax.scan(step, state, length=attack.steps)[1]

    margins = jax.jit(jax.vmap(best_margins))(jnp.linspace(0, 0.3, 7))
    assert margins.shape == (7, 9)
    assert (np.diff(margins[:, -1]) > 0).all()
    assert (np.diff(margins) >= 0).all() and (np.diff(margins)[1:, :4] > 0).all()


def test_random_starts_differ_by_key_and_r_fgsm_spends_half():
    image, threat = jnp.full(SIZE, 0.5), threats.Linf(0.1)
    first, second = (
        attacks.pgd()
        .init(jax.random.key(k), threat, image, Untargeted(0), jnp.zeros(2))
        .iterate
        for k in (0, 1)
    )
    assert (np.abs(first - second) > 1e-4).mean() > 0.8
    assert (np.abs(first - image) <= 0.1 + 1e-6).all()

    state = attacks.r_fgsm().init(
        jax.random.key(0), threat, image, Untargeted(0), jnp.zeros(2)
    )
    np.testing.assert_allclose(np.abs(state.iterate - image), 0.05, rtol=1e-5)
    assert 0 < (state.iterate > image).mean() < 1
    slope = jnp.asarray(slopes())
    after = attacks.r_fgsm().step(Partial(rise, slope, 3.0), threat, state).iterate
    np.testing.assert_allclose(after - state.iterate, 0.05 * np.sign(slope), rtol=1e-5)


def test_goals_with_a_target_go_towards_it():
    model = victims.affine_victim((SIZE,), 4)
    weights = np.asarray(model.args[0])
    image, threat = jnp.full(SIZE, 0.5), threats.Linf(0.1)
    goal = Towards(jnp.asarray(1), jnp.asarray(3))
    towards = drive.last_iterate(attacks.fgsm(objectives.margin))(
        jax.random.key(0), model, threat, image, goal
    )
    signs = np.sign(weights[3] - weights[1])
    np.testing.assert_allclose(towards - image, 0.1 * signs, rtol=1e-5)

    for objective in (objectives.cross_entropy, objectives.margin):
        run = lift.over_examples(drive.run(attacks.bim(10, 0.2, objective)))
        reached = jax.jit(run)(
            lift.item_keys(0, np.arange(4)),
            model,
            threats.Linf(0.4),
            np.repeat(image[None], 4, axis=0),
            Reach(np.arange(4)),
        )
        found = np.argmax(np.asarray(reached.x_adv) @ weights.T, axis=1)
        np.testing.assert_array_equal(found, np.arange(4))
        assert (reached.margin >= 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_trajectory_is_that_of_the_oracle(norm):
    model = victims.two_layer_victim((8,), 4, seed=1, scale=2.0)
    image = _near_the_faces()[0, :8]
    attack, steps = attacks.pgd(12, 0.3), 12
    eps, label = RADII[norm], int(victims.predicted(model, image[None])[0])
    threat, key = threats.by_name(norm)(eps), jax.random.key(7)

    @jax.jit
    def ours(model, image, label):
        state = attack.init(key, threat, image, Untargeted(label), jnp.zeros(2))
        step = lambda state, _: (  # noqa: E731
            new := attack.step(model, threat, state),
            new.iterate,
        )
        moved = jax.lax.scan(step, state, length=steps)[1]
        last = drive.last_iterate(attack)(key, model, threat, image, Untargeted(label))
        return state.iterate, moved, last

    start, found, last = ours(model, image, label)
    unit = {"linf": np.sign, "l2": lambda grad: grad / np.linalg.norm(grad)}[norm]

    project = {
        "linf": lambda x, x0, eps: np.clip(np.clip(x, x0 - eps, x0 + eps), 0, 1),
        "l2": lambda *at: projections.by_bisection("l2", *at, 0.0, 1.0),
    }[norm]
    weights, x0, start = jax.tree.map(
        lambda a: np.asarray(a, np.float64), (model.args[0], image, start)
    )
    expected = reference.iterates(
        weights, x0, start, label, eps, 0.3 * eps, steps, unit, project
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(last, found[-1])
    assert np.abs(expected - np.clip(expected, 1e-6, 1 - 1e-6)).max() > 0  # The box.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("make", FACTORIES)
def test_half_precision_inputs_stay_so(make, dtype):
    run = functools.partial(drive.run(make()), jax.random.key(0), victims.wavy)
    shapes = jax.eval_shape(
        lambda x, label: run(threats.Linf(0.1), x, Untargeted(label)),
        jax.ShapeDtypeStruct((6,), dtype),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    assert (shapes.x_adv.dtype, shapes.x_adv.shape) == (dtype, (6,))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: attacks.pgd(steps=0), "steps=0; expected an integer >= 1"),
        (lambda: attacks.bim(steps=2.5), "steps=2.5; expected an integer >= 1"),
        (lambda: attacks.mim(steps=-3), "steps=-3; expected an integer >= 1"),
        (lambda: attacks.nesterov(steps=True), "steps=True; expected an integer"),
        (lambda: attacks.pgd(relative_step=0), "relative_step=0; expected a finite"),
        (lambda: attacks.adam_pgd(relative_step=-1), "relative_step=-1; expected"),
        (lambda: attacks.r_fgsm(1.5), r"relative_start=1.5; expected a share in \(0,"),
        (lambda: attacks.r_fgsm(float("nan")), "relative_start=nan; expected a share"),
        (lambda: projected.at_random_signs(0.0), "relative_start=0.0; expected"),
    ],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(make, words):
    with pytest.raises(ValueError, match=words):
        make()
