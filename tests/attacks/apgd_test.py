"""APGD and ACG beside an oracle in NumPy, and where the optimum is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.ascent.acg import at_the_middle
from robust_jax.attacks.skeletons import (
    _step_size as step_size,
    auto_ascent,
    projected,
    radius_schedule,
)
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.reference import apgd as reference, pgd, projections

D, K, STEPS, SEEDS = 8, 4, 40, 6
EPS = {"linf": 0.4, "l2": 1.0}
KINDS = {
    "apgd": functools.partial(attacks.apgd, objectives.cross_entropy),
    "acg": functools.partial(attacks.acg, objectives.cross_entropy),
}
CASES = [("apgd", "linf"), ("apgd", "l2"), ("acg", "linf")]


def net(seed):
    return victims.two_layer_victim((D,), K, seed=seed, scale=8.0)


def image(seed):
    return victims.inputs((D,), 1, seed=seed)[0]


@functools.cache
def trajectories(kind, norm):
    """Iterates and steps of our attack from the input, in float64, one per net.

    In float32 the sign of a gradient entry near zero is a matter of rounding; so it is
    in float64 once the step has become small, unless the program is optimised.
    """
    attack = KINDS[kind](steps=STEPS, start=projected.at_the_input)
    threat = threats.by_name(norm)(EPS[norm])

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 3})
    def run(model, image, label):
        state = attack.init(
            jax.random.key(0), threat, image, Untargeted(label), jnp.zeros(2)
        )

        def step(state, _):
            moved = attack.step(model, threat, state)
            return moved, (state.iterate, moved.control.relative_step)

        return jax.lax.scan(step, state, length=STEPS + 1)[1]

    found = []
    for seed in range(SEEDS):
        model = net(seed)
        label = victims.predicted(model, image(seed)[None])[0]
        with jax.enable_x64(True):
            model = jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), model)
            path = run(model, jnp.asarray(image(seed), jnp.float64), label)
            found.append(jax.tree.map(np.asarray, path))
    return found


def expected(kind, norm, seed):
    model, x0 = net(seed), np.asarray(image(seed), np.float64)
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), model.args[0])
    label = int(victims.predicted(model, image(seed)[None])[0])

    def look(x):
        z = pgd.logits(weights, x)
        value = np.log(np.exp(z - z.max()).sum()) + z.max() - z[label]
        return value, pgd.cross_entropy_gradient(weights, x, label)

    unit = {"linf": np.sign, "l2": lambda g: g / np.linalg.norm(g)}[norm]
    project = {
        "linf": lambda x, x0, eps: np.clip(np.clip(x, x0 - eps, x0 + eps), 0, 1),
        "l2": lambda *at: projections.by_bisection("l2", *at, 0.0, 1.0),
    }[norm]
    options = {} if kind == "apgd" else {"alpha": 1.0, "turn": reference.conjugate}
    return reference.iterates(look, x0, x0, EPS[norm], STEPS, unit, project, **options)


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_trajectory_is_that_of_the_oracle(kind, norm):
    halvings = compared = 0
    for seed, (iterates, relative) in enumerate(trajectories(kind, norm)):
        path, sizes, values = expected(kind, norm, seed)
        # Once it has converged, whether a step climbed is a matter of rounding; but
        # a step that leads nowhere, such as from corner to corner, climbs nothing.
        change = np.abs(np.diff(values))
        converged = (change > 0) & (change < 1e-9)
        end = 1 + (np.argmax(converged) if converged.any() else STEPS)
        np.testing.assert_allclose(relative[:end] * EPS[norm], sizes[:end], rtol=1e-9)
        np.testing.assert_allclose(iterates[:end], path[:end], atol=1e-7)
        halvings += np.count_nonzero(np.diff(sizes[:end]))
        compared += end
    assert halvings >= 2 * SEEDS and compared >= 20 * SEEDS


def test_acg_turns_away_from_the_gradient():
    straight, turned = (trajectories(kind, "linf") for kind in ("apgd", "acg"))
    differ = [np.abs(a[0] - b[0]).max() for a, b in zip(straight, turned, strict=True)]
    assert max(differ) > 0.1


@pytest.mark.parametrize(
    ("steps", "marks"),
    [
        (100, [22, 41, 57, 70, 80, 87, 93, 99]),  # As published for 100 iterations.
        (40, [8, 15, 21, 26, 30, 33, 35, 37, 39]),
        (3, [1, 2, 3]),
    ],
)
def test_checkpoints(steps, marks):
    clock, windows = step_size.Checkpoint(0, 0), []
    for i in range(steps + 1):
        clock, window = step_size.advanced(
            clock, radius_schedule.call(steps, (1.0,), i)
        )
        windows.append(int(window))
    np.testing.assert_array_equal(np.flatnonzero(windows), marks)
    assert [w for w in windows if w] == np.diff([0, *marks]).tolist()
    assert reference.checkpoints(steps)[1:] == marks


def test_starts_on_the_surface_in_a_random_direction():
    grey = jnp.full((30,), 0.5)
    for norm in ("linf", "l2"):
        threat = threats.by_name(norm)(0.2)
        starts = [
            auto_ascent.on_the_surface(jax.random.key(k), threat, grey)
            for k in range(3)
        ]
        for start in starts:
            np.testing.assert_allclose(threat.distance(start, grey), 0.2, rtol=1e-5)
            assert 0.2 < (start > grey).mean() < 0.8
        assert np.abs(starts[0] - starts[1]).max() > 0.05
        near_a_face = auto_ascent.on_the_surface(
            jax.random.key(0), threat, jnp.zeros(30)
        )
        assert (near_a_face >= 0).all() and (near_a_face > 0).any()


def test_the_middle_of_the_feasible_box():
    x = jnp.array([0.0, 0.05, 0.5, 1.0])
    middle = at_the_middle(jax.random.key(0), threats.Linf(0.1), x)
    np.testing.assert_allclose(middle, [0.05, 0.075, 0.5, 0.95], atol=1e-6)


def rise(slope, x):
    """The margin of label 0 falls short of zero by far, whatever the scale."""
    return jnp.stack([jnp.zeros(()), slope @ x - 100 * jnp.max(jnp.abs(slope))])


@pytest.mark.parametrize(("kind", "norm"), CASES)
@pytest.mark.parametrize("scale", [1.0, 1e-18])
def test_reaches_the_optimum_of_an_affine_model(kind, norm, scale):
    """The box is active in two thirds of the coordinates; any scale of gradients."""
    rng = np.random.default_rng(0)
    slope = (scale * rng.normal(size=12)).astype(np.float32)
    grey = rng.uniform(0.3, 0.7, 12)
    faces = np.where(rng.random(12) < 0.5, 0.01, 0.99)
    images = np.where(np.arange(12) % 3 < 2, faces, grey).astype(np.float32)
    threat = threats.by_name(norm)(EPS[norm] / 2)
    objective = objectives.margin
    attack = KINDS[kind].func(objective, STEPS)
    result = drive.traced(attack, to_the_end=True)(
        lift.item_keys(0, np.arange(1)),
        Partial(rise, slope),
        threat,
        images[None],
        Untargeted(np.zeros(1, np.int32)),
    )
    unit = slope.astype(np.float64) / np.abs(slope).max()
    far = images.astype(np.float64) + 1e3 * unit
    if norm == "linf":
        optimum = np.clip(images + EPS[norm] / 2 * np.sign(unit), 0, 1)
    else:
        optimum = projections.by_bisection(norm, far, images, EPS[norm] / 2, 0.0, 1.0)
    gain = unit @ (np.asarray(result.x_adv[0], np.float64) - images)
    np.testing.assert_allclose(gain, unit @ (optimum - images), rtol=2e-3)
    assert (np.abs(optimum - images) < EPS[norm] / 2 - 1e-6).mean() >= 0.3


RADII, LENGTHS = (3.0, 2.0, 1.0), (12, 12, 16)


def plateau(centre, x):
    """Flat within 1.2 eps of the centre but for a cap, which a slope outside shows."""
    ahead, far = x[0] - centre[0], jnp.sqrt(jnp.sum((x - centre) ** 2))
    slope = jnp.where(far > 1.2 * _CAP, jnp.maximum(ahead, -0.1), 0.0)
    return jnp.stack([jnp.zeros(()), jnp.where(ahead > 0.9 * _CAP, 1.0, slope - 1)])


_CAP = 0.1


@functools.cache
def stages_on_a_plateau():
    """Iterates, steps and result of a staged run from the centre, which finds the cap.

    It goes on after a success, so that each stage is seen to its end.
    """
    attack = attacks.apgd(
        objectives.margin, sum(LENGTHS), projected.at_random, radii=RADII
    )
    centre, threat = jnp.full((9,), 0.5), threats.L2(_CAP)
    state = attack.init(jax.random.key(0), threat, centre, Untargeted(0), jnp.zeros(2))

    @jax.jit
    def step(state):
        return attack.step(Partial(plateau, centre), threat, state)

    path, relative = [], []
    for _ in range(attack.steps):
        moved = step(state)
        path.append(np.linalg.norm(state.iterate - centre))
        relative.append(float(moved.control.relative_step))
        state = moved
    return np.array(path), np.array(relative), attack.finish(threat, state)


def test_larger_balls_show_the_way_where_the_gradient_is_flat():
    path, relative, result = stages_on_a_plateau()
    stages = np.split(path, np.cumsum([n + 1 for n in LENGTHS])[:-1])
    for radius, stage in zip(RADII, stages, strict=True):
        assert stage.max() <= radius * _CAP + 1e-6
        assert stage.max() >= radius * _CAP - 1e-4
    starts = [0, *np.cumsum([n + 1 for n in LENGTHS])[:-1]]
    np.testing.assert_array_equal(relative[starts], 2.0)  # Each begins afresh.
    assert relative[np.array(starts[1:]) - 2].max() < 2.0
    assert result.margin > 0 and result.distance <= _CAP + 1e-6
    # Without them no gradient leads there.
    alone = drive.traced(attacks.apgd(objectives.margin, sum(LENGTHS)))(
        lift.item_keys(0, np.arange(3)),
        Partial(plateau, jnp.full((9,), 0.5)),
        threats.L2(_CAP),
        np.full((3, 9), 0.5, np.float32),
        Untargeted(np.zeros(3, np.int32)),
    )
    assert (np.asarray(alone.margin) < 0).all()


def test_a_success_outside_eps_is_none():
    """All that lies beyond 1.5 eps is lost, nothing nearer."""
    centre = jnp.full((9,), 0.5)
    model = Partial(beyond, centre, jnp.float32(1.5 * _CAP))
    result = drive.traced(attacks.apgd(objectives.margin, 20, radii=RADII))(
        lift.item_keys(0, np.arange(3)),
        model,
        threats.L2(_CAP),
        np.full((3, 9), 0.5, np.float32),
        Untargeted(np.zeros(3, np.int32)),
    )
    assert (np.asarray(result.margin) < 0).all()
    assert (np.asarray(result.distance) <= _CAP + 1e-6).all()


def beyond(centre, limit, x):
    """Two classes: the second wins outside a ball around the centre."""
    far = jnp.sqrt(jnp.sum((x - centre) ** 2) + 1e-12)
    return jnp.stack([jnp.zeros(()), far - limit])


def test_bad_radii_are_refused_when_the_attack_is_made():
    with pytest.raises(ValueError, match=r"radii=\(2.0,\); .* ends in 1"):
        attacks.apgd(radii=(2.0,))
    with pytest.raises(ValueError, match="steps=2; expected at least one for each of"):
        attacks.apgd(steps=2, radii=RADII)


@pytest.mark.parametrize("make", [attacks.apgd, attacks.acg])
def test_bad_arguments_are_refused_when_the_attack_is_made(make):
    with pytest.raises(ValueError, match="steps=0; expected an integer >= 1"):
        make(steps=0)
