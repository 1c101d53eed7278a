"""Estimators without a memory, each beside NumPy or a closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.gradients import defences, stateful, transforms
from robust_jax.attacks.gradients.estimator import Estimate, Gradient, Query, exact
from robust_jax.core import drive
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.estimators import (
    NET,
    POINTS,
    THREAT,
    WEIGHTS,
    D,
    assert_judged_at,
    climb,
    estimate_at,
    oracle_climb,
    oracle_gradient,
)
from tests.reference import pgd as reference, transfer as oracle

# --- Translation and scale invariance


@pytest.mark.parametrize("shape", [(9,), (9, 6), (6, 5, 3), (2, 5, 6, 3)])
@pytest.mark.parametrize("kernel_size", [1, 5, 15])
def test_translation_invariance_is_a_convolution_of_each_channel(shape, kernel_size):
    grad = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    gradient = transforms.translation_invariance(kernel_size)
    query = Query(
        jax.random.key(0),
        lambda x: jnp.stack([jnp.sum(grad * x), 0.0]),
        THREAT,
        lambda logits: logits[0],
        jnp.ones(shape),
    )
    estimate, _ = gradient.estimate(query, ())
    if len(shape) == 1:  # Height alone: the two-dimensional kernel's marginal.
        wide = np.pad(grad[:, None], ((0, 0), (20, 20)), mode="edge")
        expected = oracle.smoothed(wide, kernel_size)[:, 20]
    else:
        frames = grad.reshape((-1, *shape[-3:])) if len(shape) == 4 else grad[None]
        frames = frames.reshape((len(frames), *frames.shape[1:3], -1))
        maps = np.moveaxis(frames, -1, 1).reshape((-1, *frames.shape[1:3]))
        maps = np.array([oracle.smoothed(each, kernel_size) for each in maps])
        maps = maps.reshape((len(frames), -1, *frames.shape[1:3]))
        expected = np.moveaxis(maps, 1, -1).reshape(shape)
    np.testing.assert_allclose(estimate.grad, expected, atol=1e-6)


def test_scale_invariance_is_the_gradient_of_the_mean_over_halvings():
    (estimate, _), _ = estimate_at(transforms.scale_invariance(4), POINTS)
    expected = [oracle.over_scales(oracle_gradient, 4)(x) for x in POINTS]
    np.testing.assert_allclose(estimate.grad, expected, rtol=1e-4, atol=1e-6)
    assert_judged_at(POINTS, estimate)


# --- Input diversity

SHAPE, DRAWS = (14, 10, 2), 400


def _show(query, memory):
    logits = query.logits_fn(query.x)
    return Estimate(query.climb(logits), logits, logits.reshape(query.x.shape)), memory


AS_SEEN = Gradient(lambda x: (), _show, 1, 0)  # Its "gradient" is the model's input.


@functools.cache
def diverse():
    """What the model gets of three images, [DRAWS, 3, *SHAPE], and looks at the first.

    The objective is the sum of weights * pixels^2 / 2.
    """
    rng = np.random.default_rng(3)
    weights = rng.normal(size=np.prod(SHAPE)).astype(np.float32)
    bright = np.zeros(SHAPE)
    bright[6, 4, 1] = 1.0
    images = np.stack([rng.uniform(size=SHAPE), np.ones(SHAPE), bright])
    images = images.astype(np.float32)

    def estimate(inner, key, x):
        gradient = transforms.input_diversity(0.8, 0.6, inner)
        query = Query(key, jnp.ravel, THREAT, lambda z: weights @ z**2 / 2, x)
        return gradient.estimate(query, ())[0]

    def seen(key):
        return jax.vmap(functools.partial(estimate, AS_SEEN, key))(images).grad

    run = jax.jit(jax.vmap(lambda k: (seen(k), estimate(None, k, images[0]))))
    keys = jax.random.split(jax.random.key(0), DRAWS)
    return images, weights, *jax.tree.map(np.asarray, run(keys))


def test_diverse_inputs_are_shrunk_and_moved_images_on_zeros():
    images, _, seen, estimate = diverse()
    moved = (seen[:, 1] != 1).any(axis=(1, 2, 3))
    assert abs(moved.mean() - 0.8) < 0.08  # Its probability.
    frames = []
    for views in seen[moved]:
        inside = views[1, ..., 0] > 0.5
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        top, left, height, width = rows[0], columns[0], len(rows), len(columns)
        frame = (slice(top, top + height), slice(left, left + width))
        frames.append((top, left, height, width))
        tall = np.apply_along_axis(oracle.resized, 1, images, height)
        expected = np.zeros_like(views)
        expected[:, *frame] = np.apply_along_axis(oracle.resized, 2, tall, width)
        np.testing.assert_allclose(views, expected, atol=1e-5)
        assert views[2].sum() > 0 and (views[2, ..., 0] == 0).all()
    tops, lefts, heights, widths = np.array(frames).T
    assert set(heights) == set(range(8, 14)) and set(widths) == set(range(6, 10))
    assert np.abs(heights / 14 - widths / 10).max() < 0.11  # One share for both.
    assert (tops.min(), (tops + heights).max()) == (0, 14)
    assert (lefts.min(), (lefts + widths).max()) == (0, 10)
    places = tops / (14 - heights), lefts / (10 - widths)
    assert abs(np.corrcoef(places)[0, 1]) < 0.2
    untouched = np.broadcast_to(images, seen[~moved].shape)
    np.testing.assert_array_equal(seen[~moved], untouched)
    assert (estimate.logits == images[0].ravel()).all()  # Judged at x.


def test_the_gradient_is_mapped_back_from_the_diverse_input():
    images, weights, seen, estimate = diverse()
    seen = seen.reshape((DRAWS, 3, -1))
    there = np.einsum("i,ni,nki->nk", weights, seen[:, 0], seen)  # <w Tx, T image>
    back = np.tensordot(estimate.grad, images, ([1, 2, 3], [1, 2, 3]))
    np.testing.assert_allclose(back, there, atol=1e-4)


def test_without_diversity_the_gradient_is_the_plain_one():
    model = victims.two_layer_victim((5, 4, 3), 4)
    x = victims.inputs((5, 4, 3), 1)[0]
    ours, plain = (
        jax.jit(
            lambda x, g=g: g.estimate(
                Query(jax.random.key(0), model, THREAT, climb, x), ()
            )[0]
        )(x)
        for g in (transforms.input_diversity(0.0), exact())
    )
    jax.tree.map(np.testing.assert_array_equal, ours, plain)


# --- Expectation over transformations


def noisy(key, logits_fn):
    return lambda x: logits_fn(x + 0.3 * jax.random.normal(key, x.shape))


def test_expectation_averages_value_logits_and_gradient():
    (estimate, _), visited = estimate_at(defences.expectation(noisy, 6), POINTS)
    for t, seen in enumerate(visited):
        versions = seen["at"]
        assert versions.shape == (6, D) and len(np.unique(versions)) == 6 * D
        for ours, function in (
            (estimate.value[t], oracle_climb),
            (estimate.logits[t], lambda x: reference.logits(WEIGHTS, x)),
            (estimate.grad[t], oracle_gradient),
        ):
            expected = np.mean([function(v) for v in versions], axis=0)
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_expectation_converges_and_is_deterministic_in_key():
    model, x = victims.affine_victim((D,), 4), jnp.asarray(POINTS[0])
    gradient = defences.expectation(noisy, 4000)

    @jax.jit
    def estimate(key):
        return gradient.estimate(Query(key, model, THREAT, lambda z: z[0], x), ())[0]

    first, again, other = (estimate(jax.random.key(k)) for k in (0, 0, 1))
    spread = 0.3 * np.linalg.norm(model.args[0], axis=1) / 4000**0.5
    assert (np.abs(first.logits - model(x)) < 4 * spread).all()
    np.testing.assert_allclose(first.grad, model.args[0][0], rtol=1e-5)
    np.testing.assert_array_equal(first.logits, again.logits)
    assert (first.logits != other.logits).all()


def test_a_randomised_net_is_drawn_by_its_key():
    fixed = jax.random.key(9)

    def net(x, key=fixed):
        return NET(x * jax.random.uniform(key))

    gradient = defences.expectation(lambda key, f: lambda x: f(x, key), 1000)
    attack, x = attacks.bim(3, 0.5, gradient=gradient), jnp.asarray(POINTS[0])
    goal = Untargeted(jnp.argmax(net(x)))
    run = functools.partial(drive.run(attack, to_the_end=True), jax.random.key(0), net)
    result = jax.jit(run)(THREAT, x, goal)
    keys = jax.random.split(jax.random.key(5), 4000)
    logits = jax.vmap(lambda key: net(result.x_adv, key))(keys).mean(axis=0)
    margin = objectives.margin(logits, goal)
    np.testing.assert_allclose(result.margin, margin, atol=0.2)
    assert abs(objectives.margin(net(result.x_adv), goal) - margin) > 0.5


# --- Straight through


def quantise(x):
    return jnp.round(3.0 * x) / 3.0


def test_straight_through_has_the_parts_values_and_the_surrogates_slope():
    x = jnp.array([-0.0, 1e-30, 0.1, 0.5, 0.9, jnp.inf])
    part = defences.straight_through(quantise, jnp.tanh)
    values = np.asarray(part(x))
    np.testing.assert_array_equal(
        values.view(np.int32), np.asarray(quantise(x)).view(np.int32)
    )
    slope = jax.jit(jax.vmap(jax.grad(part)))(x)
    np.testing.assert_allclose(slope, 1 - np.tanh(x) ** 2, rtol=1e-6)
    _, forward = jax.jvp(part, (x,), (2 * jnp.ones(6),))
    np.testing.assert_allclose(forward, 2 * (1 - np.tanh(x) ** 2), rtol=1e-6)
    plain = jax.grad(lambda x: defences.straight_through(quantise)(x) ** 2)(0.4)
    np.testing.assert_allclose(plain, 2 / 3, rtol=1e-6)
    with pytest.raises(ValueError, match=r"part\(x\) has shape \(\) and surrogate"):
        defences.straight_through(jnp.sum)(x)


def test_a_part_may_close_over_traced_values_and_need_no_derivative():
    def slope(level, x):
        def part(x):
            shape = jax.ShapeDtypeStruct((), x.dtype)
            rounded = jax.pure_callback(
                np.round, shape, x / level, vmap_method="expand_dims"
            )
            return rounded.astype(x.dtype) * level

        return jax.grad(lambda x: defences.straight_through(part)(x) * level)(x)

    levels = jnp.array([0.5, 0.25])
    slopes = jax.jit(jax.vmap(slope))(levels, jnp.array([0.3, 0.4]))
    np.testing.assert_array_equal(slopes, levels)


def test_only_bpda_gets_through_a_quantiser():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 24)).astype(np.float32)
    images = victims.inputs((24,), 6)
    attack = attacks.pgd(10, 0.3)

    def won(front):
        model = lambda x: weights @ front(x)  # noqa: E731
        labels = np.argmax(quantise(images) @ weights.T, axis=1).astype(np.int32)

        def one(key, x, label):
            run = drive.run(attack)
            return run(key, model, threats.Linf(0.45), x, Untargeted(label))

        keys = jax.random.split(jax.random.key(0), len(images))
        result = jax.jit(jax.vmap(one))(keys, images, labels)
        margins = np.diff(quantise(result.x_adv) @ weights.T)[:, 0]
        margins = np.where(labels == 0, margins, -margins)
        np.testing.assert_allclose(margins, result.margin, atol=1e-4)
        return (result.margin >= 0).mean()

    assert won(defences.straight_through(quantise)) == 1.0
    assert won(quantise) < 0.5


# --- Composition


def _nested():
    """name: (estimator, forwards, backwards)."""
    di, ti = transforms.input_diversity, transforms.translation_invariance
    si, vt = transforms.scale_invariance, stateful.variance_tuning
    ni, vni = stateful.lookahead, stateful.nesterov_variance_tuning
    eot = defences.expectation
    return {
        "ni of ti of si of di": (ni(inner=ti(inner=si(2, di()))), 5, 2),
        "di of ti of si": (di(inner=ti(inner=si(3))), 4, 3),
        "eot of vt of ni of si": (eot(noisy, 2, vt(3, inner=ni(inner=si(2)))), 24, 16),
        "si of vni": (si(2, vni(2)), 8, 6),
    }


@pytest.mark.parametrize("name", [*_nested()][1:])
def test_estimators_nest_and_add_up(name):
    gradient, forwards, backwards = _nested()[name]
    shape = (4, 3, 2)
    points, model = victims.inputs(shape, 2), victims.two_layer_victim(shape, 4)
    (estimate, _), _ = estimate_at(
        gradient, points, model
    )  # Compares with what was spent.
    assert (gradient.forwards, gradient.backwards) == (forwards, backwards)
    assert np.isfinite(estimate.grad).all() and estimate.grad.shape == (2, *shape)
    if "eot" not in name:
        np.testing.assert_allclose(estimate.logits, jax.vmap(model)(points), atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ni of ti of si of di", [(7,), (4, 3), (4, 3, 2), (2, 3, 4, 3)]),
        ("eot of vt of ni of si", [(4, 3)]),
        ("si of vni", [(4, 3)]),
    ],
)
def test_dtypes_and_memories_stay_as_they_are(name, shapes, dtype):
    gradient = _nested()[name][0]

    def looked(x):
        memory = gradient.init(x)
        model = lambda x: jnp.stack([jnp.sum(x), jnp.sum(x**2)])  # noqa: E731
        query = Query(jax.random.key(0), model, THREAT, lambda z: z[0], x)
        return memory, *gradient.estimate(query, memory)

    for shape in shapes:
        x = jax.ShapeDtypeStruct(shape, dtype)
        before, estimate, after = jax.eval_shape(looked, x)
        assert (estimate.grad.dtype, estimate.grad.shape) == (dtype, shape)
        same = jax.tree.map(
            lambda a, b: (a.dtype, a.shape) == (b.dtype, b.shape), before, after
        )
        assert jax.tree.all(same)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: transforms.input_diversity(1.5), "probability=1.5; expected a number"),
        (lambda: transforms.input_diversity(0.5, 0.0), "lowest_share=0.0; expected a"),
        (lambda: transforms.translation_invariance(0), "kernel_size=0; expected an"),
        (
            lambda: transforms.translation_invariance(4),
            "kernel_size=4; expected an odd",
        ),
        (lambda: transforms.scale_invariance(0), "copies=0; expected an integer >= 1"),
        (lambda: defences.expectation(noisy, 0), "samples=0; expected an integer"),
        (
            lambda: transforms.translation_invariance().estimate(
                Query(
                    jax.random.key(0), jnp.ravel, THREAT, jnp.sum, jnp.ones((1,) * 5)
                ),
                (),
            ),
            r"x.shape=\(1, 1, 1, 1, 1\); expected \[H\], \[H, W\]",
        ),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
