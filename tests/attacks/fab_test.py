"""FAB where the nearest adversarial point is known, and beside an oracle in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.gradients.estimator import Gradient, exact
from robust_jax.attacks.nearest.fab import fab, halfway_at_random
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from tests import victims
from tests.reference import fab as reference, projections

N, SIZE = 4, 12
NORMS = ["linf", "l2", "l1"]


@functools.cache
def program(attack, **options):
    return jax.jit(lift.over_examples(drive.run(attack, **options)))


def nearest(threat, model, images, goal, attack=None, seed=0):
    """The result of the whole budget, as a host result."""
    keys = lift.item_keys(seed, np.arange(len(images), dtype=np.uint64))
    threat = jax.tree.map(np.float32, threat)
    run = program(fab() if attack is None else attack, to_the_end=True)
    return jax.tree.map(np.asarray, run(keys, model, threat, images, goal))


def plane(weights, bias, x):
    """Two logits; the margin of label 0 is weights @ x + bias."""
    return jnp.stack([jnp.zeros(()), weights @ x + bias])


def towards_one(n=N):
    return Towards(np.zeros(n, np.int32), np.ones(n, np.int32))


def slopes():
    return np.random.default_rng(5).normal(size=SIZE).astype(np.float32)


@pytest.mark.parametrize("boxed", [False, True], ids=["free", "boxed"])
@pytest.mark.parametrize("norm", NORMS)
def test_affine_optimum_within_a_hundredth(norm, boxed):
    slope, images = slopes(), victims.inputs((SIZE,), N, seed=6, low=0.3, high=0.7)
    box, bias = (-9.0, 9.0), -np.max(images @ slope) - np.float32(0.4)
    if boxed:  # Two thirds of the coordinates near the face that is in their way.
        near = np.where(slope > 0, 0.99, 0.01)
        images = np.where(np.arange(SIZE) % 3 < 2, near, images).astype(np.float32)
        most = (np.abs(slope) * np.where(slope > 0, 1 - images, images)).sum(1)
        share = 0.9 if norm == "l1" else 0.5  # Of what the box allows: for all enough.
        box, bias = (0.0, 1.0), -np.min(images @ slope + share * most)
    gaps = -(images @ slope + bias).astype(np.float64)
    assert (gaps > 0).all()
    ways = [
        reference.shortest(norm, slope.astype(float), gap, x.astype(float), *box)
        for gap, x in zip(gaps, images, strict=True)
    ]
    at_a_face = np.isclose(images + ways, 0) | np.isclose(images + ways, 1)
    assert at_a_face.mean() >= 0.3 if boxed else not at_a_face.any()
    threat = threats.by_name(norm)(np.inf, *box)
    model = Partial(plane, slope, bias)
    found = nearest(threat, model, images, towards_one())
    optimum = [projections.size(norm, way) for way in ways]
    assert (found.margin >= 0).all()
    assert (found.x_adv >= box[0]).all() and (found.x_adv <= box[1]).all()
    ratio = found.distance / optimum
    assert (ratio >= 1 - 1e-5).all() and (ratio <= 1.01).all(), ratio
    assert (found.forwards == 201).all() and (found.backwards == 100).all()


@pytest.mark.parametrize("norm", NORMS)
def test_eps_is_a_cap(norm):
    slope, images = slopes(), np.full((N, SIZE), 0.5, np.float32)
    ball, model = threats.by_name(norm), Partial(plane, slope, -slope.sum() / 2 - 1)
    dual = np.linalg.norm(slope, {"linf": 1, "l2": 2, "l1": np.inf}[norm])
    at = lambda eps: nearest(ball(eps, -9.0, 9.0), model, images, towards_one())  # noqa: E731
    free, wide, tight, none = at(np.inf), at(1.01 / dual), at(0.98 / dual), at(0.0)
    assert (free.margin >= 0).all() and (wide.margin >= 0).all()
    np.testing.assert_array_equal(free.x_adv, wide.x_adv)
    assert (tight.margin < 0).all() and (tight.distance <= 0.98 / dual).all()
    np.testing.assert_array_equal(none.x_adv, images)


@functools.cache
def curved():
    model = victims.two_layer_victim((SIZE,), 4, seed=3, scale=3.0)
    images = victims.inputs((SIZE,), N, seed=2)
    images = np.where(np.arange(SIZE) % 3 < 1, np.round(images), images)  # On faces.
    return model, images, victims.predicted(model, images)


@pytest.mark.parametrize("norm", NORMS)
def test_trajectory_is_that_of_the_oracle(norm):
    steps, (model, images, labels) = 40, curved()
    targets, attack = (labels + 1) % 4, fab(steps=40)

    def walk(image, goal):
        threat = threats.by_name(norm)(np.inf)
        state = attack.init(jax.random.key(0), threat, image, goal, jnp.zeros(2))

        def step(state, _):
            moved = attack.step(model, threat, state)
            return moved, (state.iterate, moved.best.distance, moved.best.margin)

        return jax.lax.scan(step, state, length=steps)[1]

    found = jax.jit(jax.vmap(walk))(images, Towards(labels, targets))
    found = jax.tree.map(np.asarray, found)
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), model.args[0])
    wins_of_all, on_faces = [], []
    for k in range(N):
        iterates, best, margin = (part[k] for part in found)
        arguments = (weights, images[k].astype(float), labels[k], targets[k])
        points, wins, expected = reference.towards(*arguments, norm, steps)
        np.testing.assert_allclose(iterates, expected, atol=2e-5)
        sizes = [projections.size(norm, p - images[k]) for p in points]
        distances = np.minimum.accumulate(np.where(wins, sizes, np.inf))
        won = np.isfinite(distances)
        np.testing.assert_array_equal(margin >= 0, won)
        np.testing.assert_allclose(best[won], distances[won], rtol=1e-4)
        wins_of_all.append(wins)
        on_faces.append((points == 0) | (points == 1))
    assert 0.2 < np.mean(wins_of_all) < 0.9 and np.mean(on_faces) > 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_untargeted_goes_to_the_nearest_class(norm):
    """Not to the one whose logit is nearest."""
    model = victims.affine_victim((SIZE,), 5)
    scaled = np.asarray(model.args[0]) * np.float32([1, 0.2, 5, 1, 1])[:, None]
    images = victims.inputs((SIZE,), N, seed=3)
    labels = np.argmax(images @ scaled.T, axis=1).astype(np.int32)
    model, threat = Partial(victims.affine, scaled, jnp.zeros(5)), threats.by_name(norm)
    found = nearest(threat(np.inf, -9.0, 9.0), model, images, Untargeted(labels))
    differ = scaled[None].astype(float) - scaled[labels][:, None]
    dual = np.linalg.norm(differ, {"linf": 1, "l2": 2, "l1": np.inf}[norm], axis=2)
    gaps = -np.einsum("nkd,nd->nk", differ, images)
    distances = np.where(np.arange(5) == labels[:, None], np.inf, gaps)
    optimum = (distances / np.where(dual > 0, dual, 1)).min(1)
    np.testing.assert_allclose(found.distance, optimum, rtol=0.01)
    others = np.where(np.arange(5) == labels[:, None], np.inf, gaps)
    assert (others.argmin(1) != (others / np.where(dual > 0, dual, 1)).argmin(1)).any()
    assert (found.forwards == 201).all() and (found.backwards == 400).all()


def test_reach_ends_at_its_target_and_towards_at_any_error():
    model, images, labels = curved()
    targets, threat = (labels + 2) % 4, threats.L2(np.inf)
    reached = nearest(threat, model, images, Reach(targets), fab(steps=30))
    any_error = nearest(threat, model, images, Towards(labels, targets), fab(steps=30))
    logits = np.asarray(jax.vmap(model)(reached.x_adv))
    np.testing.assert_array_equal(logits.argmax(1)[reached.margin > 0], targets)
    assert (reached.margin > 0).all() and (any_error.margin >= 0).all()
    assert (any_error.distance <= reached.distance + 1e-5).all()
    others = np.asarray(jax.vmap(model)(any_error.x_adv)).argmax(1)
    assert (others != labels).all()


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_scale_of_the_logits_does_not_matter(scale):
    model, images, labels = curved()
    first, second = model.args[0]
    scaled = Partial(victims.two_layers, (first, np.float32(scale) * second))
    goal, threat = Towards(labels, (labels + 1) % 4), threats.L2(np.inf)
    expected = nearest(threat, model, images, goal, fab(steps=30))
    found = nearest(threat, scaled, images, goal, fab(steps=30))
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)
    assert (found.margin >= 0).all()


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_random_starts_are_halfway_and_in_the_box(norm):
    ball, image = threats.by_name(norm), jnp.full(SIZE, 0.5)
    start = jax.jit(jax.vmap(halfway_at_random, in_axes=(0, None, None)))
    keys = lift.item_keys(0, np.arange(8, dtype=np.uint64))
    points = np.asarray(start(keys, ball(0.4), image), np.float64)
    sizes = [projections.size(norm, p - 0.5) for p in points]
    np.testing.assert_allclose(sizes, 0.2, rtol=1e-5)
    assert len(np.unique(points[:, 0])) == 8
    corners = np.asarray(start(keys, ball(0.4), jnp.zeros(SIZE)))
    assert (corners >= 0).all() and (corners > 0).any() and (corners == 0).any()
    anywhere = np.asarray(start(keys, ball(np.inf), image))
    assert (anywhere >= 0).all() and (anywhere <= 1).all() and anywhere.std() > 0.05


def test_an_adversarial_start_is_kept():
    def model(x):  # Flat, and only the start is adversarial.
        return jnp.where(jnp.all(x == 0.75), -1.0, 1.0) * jnp.array([1.0, -1.0])

    attack = fab(2, start=lambda key, threat, x: jnp.full_like(x, 0.75))
    run = jax.jit(
        lambda x, eps: drive.run(attack, to_the_end=True)(
            jax.random.key(0), model, threats.Linf(eps), x, Untargeted(0)
        )
    )
    kept, too_far = (run(jnp.full(SIZE, 0.5), eps) for eps in (0.25, 0.2))
    assert (kept.x_adv == 0.75).all() and kept.margin == 2 and kept.distance == 0.25
    assert (too_far.x_adv == 0.5).all() and too_far.margin == -2


def test_an_iterate_without_a_number_is_drawn_back_towards_x():
    """Where a logit is infinite there is no plane to go to, whatever the slope."""

    def model(x):
        return jnp.stack([jnp.where(x[0] > 0.6, -jnp.inf, 1.0), 0.1 * x[0]])

    attack = fab(40, start=lambda key, threat, x: x.at[0].set(0.9))
    run = jax.jit(drive.run(attack, to_the_end=True))
    x, goal = jnp.full(SIZE, 0.5), Untargeted(0)
    found = run(jax.random.key(0), Partial(model), threats.Linf(np.inf), x, goal)
    assert found.margin == np.inf and 0.1 < found.distance < 0.13


def test_a_randomised_gradient_gets_a_fresh_key_each_step_but_no_memory():
    keys = []

    def estimate(query, memory):
        data = jax.random.key_data(query.key)
        jax.debug.callback(lambda k: keys.append(tuple(np.asarray(k))), data)
        return exact().estimate(query, memory)

    spying = fab(3, gradient=Gradient(lambda x: (), estimate, 2, 5))
    model, images, labels = curved()
    goal = Towards(labels[0], (labels[0] + 1) % 4)
    run = jax.jit(drive.run(spying, to_the_end=True))
    result = run(jax.random.key(0), model, threats.L2(np.inf), images[0], goal)
    jax.effects_barrier()
    assert len(set(keys)) == 3
    assert (int(result.forwards), int(result.backwards)) == (1 + 3 * 3, 3 * 5)


def test_half_precision_and_pytrees_keep_their_form():
    model, images, labels = curved()
    run = functools.partial(drive.run(fab(30), to_the_end=True), jax.random.key(0))
    shapes = jax.eval_shape(
        lambda x: run(model, threats.L1(1.0), x, Untargeted(1)),
        jax.ShapeDtypeStruct((SIZE,), jnp.bfloat16),
    )
    assert (shapes.x_adv.dtype, shapes.x_adv.shape) == (jnp.bfloat16, (SIZE,))

    def split(vector):
        return {
            "a": vector[..., :8].reshape(*vector.shape[:-1], 2, 4),
            "b": vector[..., 8:],
        }

    def joined(x):
        return model(jnp.concatenate([x["a"].ravel(), x["b"]]))

    goal, threat = Towards(labels[0], (labels[0] + 1) % 4), threats.L2(np.inf)
    deep = jax.jit(lambda x: run(joined, threat, x, goal))(split(images[0]))
    flat = nearest(threat, model, images, Towards(labels, (labels + 1) % 4), fab(30))
    np.testing.assert_allclose(deep.distance, flat.distance[0], rtol=1e-4)
    parts = split(flat.x_adv[0])
    assert all(np.allclose(deep.x_adv[k], parts[k], atol=1e-4) for k in parts)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fab(steps=0), "steps=0; expected an integer >= 1"),
        (lambda: fab(alpha_max=1.5), r"alpha_max=1.5; expected a weight in \[0, 1\]"),
        (lambda: fab(eta=0.9), "eta=0.9; expected a finite factor >= 1"),
        (lambda: fab(eta=float("nan")), "eta=nan; expected a finite factor"),
        (lambda: fab(beta=1.0), r"beta=1.0; expected a share in \(0, 1\)"),
        (lambda: fab(beta=False), "beta=False; expected a share"),
    ],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_fab_cannot_serve_is_refused_when_it_is_first_run():
    start = functools.partial(fab().init, jax.random.key(0))
    with pytest.raises(ValueError, match="threat=L0; expected Linf, L2 or L1 for FAB"):
        start(threats.L0(3.0), jnp.zeros(4), Untargeted(0), jnp.zeros(2))
    remembering = Gradient(jnp.zeros_like, exact().estimate, 1, 1)
    start = functools.partial(fab(gradient=remembering).init, jax.random.key(0))
    with pytest.raises(ValueError, match="goal=Untargeted with a gradient that has a"):
        start(threats.L2(1.0), jnp.zeros(4), Untargeted(0), jnp.zeros(2))
    assert start(
        threats.L2(1.0), jnp.zeros(4), Towards(0, 1), jnp.zeros(2)
    ).memory.shape == (4,)
