"""The Square Attack beside an oracle that gets the same draws, and on known optima."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.queries import _square_patterns as patterns
from robust_jax.attacks.queries.square import square
from robust_jax.core import drive, lift
from robust_jax.core.images import as_image, from_image, image_shape
from robust_jax.core.types import Untargeted
from tests import victims
from tests.reference import pgd as two_layer_net, square as reference

SHAPE, QUERIES = (17, 17, 2), 90  # Five tiles of three pixels, and a margin of one.
RADII = {"linf": 0.1, "l2": 0.8, "l1": 4.0}
each_norm = pytest.mark.parametrize("norm", list(RADII))


def rise(slope, offset, x):
    """Two logits; the margin of label 0 is slope @ x - offset."""
    return jnp.stack([jnp.zeros(()), slope @ x.ravel() - offset])


class Walk(NamedTuple):
    """One row per call: its query, the point evaluated; then what is kept, its value.

    A search that passes over queries ends before its calls do; such rows have a query
    beyond the last one.
    """

    queries: np.ndarray
    points: np.ndarray
    kept: np.ndarray
    values: np.ndarray


def walk(attack, key, model, threat, x, label):
    def call(state, _):
        after = attack.step(model, threat, state)
        return after, Walk(state.i, state.ahead[0], after.accepted, after.value)

    state = attack.init(key, threat, x, Untargeted(label), jnp.zeros(2))
    return jax.lax.scan(call, state, length=attack.steps)[1]


def without_rest(walk, queries):
    return jax.tree.map(lambda a: np.asarray(a)[walk.queries <= queries], walk)


@functools.cache
def victim():
    """A net, and an image with a third of its coordinates on the faces of the box."""
    model = victims.two_layer_victim(SHAPE, 4, seed=1, scale=3.0)
    image = np.clip(victims.inputs(SHAPE, 1, seed=3, low=-0.25, high=1.25)[0], 0, 1)
    return model, image, victims.predicted(model, image[None])[0]


@functools.cache
def walker(norm):
    @jax.jit
    def compiled(key, eps, lower, upper, model, image, label):
        threat = threats.by_name(norm)(eps, lower, upper)
        return walk(square(QUERIES), key, model, threat, image, label)

    def walk_at(key, eps, *faces):
        faces = [np.full(SHAPE, face, np.float32) for face in faces or (0, 1)]
        return without_rest(compiled(key, eps, *faces, *victim()), QUERIES)

    return walk_at


@functools.cache
def walked(norm):
    return walker(norm)(jax.random.key(14), RADII[norm])


def first_tiles(norm):
    """The draws behind the start of `walked`, as the oracle takes them."""
    counts = (1, SHAPE[0]) if norm == "linf" else (5, 5)
    first_key = jax.random.fold_in(jax.random.key(14), 0)
    tiles = patterns.draw_tiles(first_key, *counts, SHAPE[2])
    return jax.tree.map(np.asarray, tiles)


def windows_of_all(norm):
    """The draws of all proposals of `walked`."""
    numbers, n = np.arange(1, QUERIES + 1), SHAPE[0]
    sides = jnp.array([(reference.side(norm, i - 1, n),) * 2 for i in numbers])

    @jax.jit
    @jax.vmap
    def drawn(number, sides):
        key = jax.random.fold_in(jax.random.key(14), number)
        return patterns.draw_windows(key, sides, SHAPE)

    return list(zip(*jax.tree.map(np.asarray, drawn(numbers, sides)), strict=True))


@each_norm
def test_trajectory_is_that_of_the_oracle(norm):
    model, image, label = victim()
    weights = jax.tree.map(lambda w: np.asarray(w, np.float64), model.args[0])

    def margin(x):
        logits = two_layer_net.logits(weights, x.ravel())
        return np.delete(logits, label).max() - logits[label]

    ours = walked(norm)
    points, kept, values = reference.search(
        norm,
        margin,
        image.astype(np.float64),
        RADII[norm],
        first_tiles(norm),
        windows_of_all(norm),
    )
    passed = np.setdiff1d(np.arange(QUERIES + 1), ours.queries)
    for q in passed:  # They change nothing, or give a point that was refused.
        refused = itertools.takewhile(
            lambda r: (kept[r] == kept[q - 1]).all(),  # noqa: B023
            range(q - 1, -1, -1),
        )
        known = [kept[q - 1], *(points[r] for r in refused)]
        assert min(np.abs(points[q] - point).max() for point in known) < 1e-12
    assert (len(passed) > 0) == (norm == "linf")
    last_call = np.searchsorted(ours.queries, np.arange(QUERIES + 1), "right") - 1
    ours_at_all = ours.values[last_call]
    np.testing.assert_array_equal(np.diff(ours_at_all) > 0, np.diff(values) > 1e-9)
    np.testing.assert_allclose(ours.points, points[ours.queries], atol=1e-5)
    np.testing.assert_allclose(ours.kept[last_call], kept, atol=1e-5)
    np.testing.assert_allclose(ours_at_all, values, atol=1e-5)
    accepted = np.diff(values) > 0
    assert accepted[10:50].any() and accepted[50:].any()  # In more than one stage.
    assert not accepted.all()
    assert ((points == 0) | (points == 1)).mean() > 0.1  # The box is active.


@each_norm
def test_every_point_is_feasible_and_what_is_kept_only_rises(norm):
    image = victim()[1].astype(np.float64)
    points, _, values = (a.astype(np.float64) for a in walked(norm)[1:])
    moves = np.abs(points - image).reshape(len(points), -1)
    size = {"linf": moves.max(1), "l1": moves.sum(1)}
    size = size.get(norm, np.sqrt((moves**2).sum(1)))
    assert (size <= RADII[norm] * (1 + 1e-6)).all()
    assert size.max() > 0.9 * RADII[norm]
    assert (points >= 0).all() and (points <= 1).all()
    assert (np.diff(values) >= 0).all() and values[-1] > values[0]


@each_norm
def test_eps_zero_and_a_box_without_room_stay_at_the_input(norm):
    image, key = victim()[1], jax.random.key(0)
    for eps, lower, upper in [(0.0, 0.0, 1.0), (RADII[norm], image, image)]:
        _, points, _, values = walker(norm)(key, eps, lower, upper)
        np.testing.assert_array_equal(points, np.broadcast_to(image, points.shape))
        assert (values == values[0]).all()


@each_norm
def test_another_key_goes_another_way(norm):
    one, other = walked(norm).points, walker(norm)(jax.random.key(12), RADII[norm])
    calls = min(len(one), len(other.points))
    assert (np.abs(other.points[:calls] - one[:calls]) > 1e-4).any((1, 2, 3)).all()


def test_reaches_the_linf_optimum_of_an_affine_model():
    size, n, eps = 6, 4, 0.1
    slope = np.random.default_rng(5).normal(size=size * size).astype(np.float32)
    grey = np.full((n, size, size), 0.5, np.float32)
    faces = np.random.default_rng(6).choice([0.02, 0.97], grey.shape)
    images = np.concatenate([grey, faces.astype(np.float32)])
    run = lift.over_examples(drive.run(square(1500), to_the_end=True))
    result = jax.jit(run)(
        lift.item_keys(0, np.arange(2 * n)),
        Partial(rise, slope, 100.0),
        threats.Linf(eps),
        images,
        Untargeted(np.zeros(2 * n, np.int32)),
    )
    flat = images.reshape(2 * n, -1)
    best = np.clip(flat + eps * np.sign(slope), 0, 1) - flat
    assert (np.abs(best[n:]) < eps - 1e-6).mean() >= 0.3
    np.testing.assert_allclose(best[:n] @ slope, eps * np.abs(slope).sum(), rtol=1e-5)
    share = (np.asarray(result.margin) - (flat @ slope - 100.0)) / (best @ slope)
    assert (share >= 0.95).all() and (share <= 1 + 1e-4).all()
    forwards = np.asarray(result.forwards)
    assert (forwards <= 1502).all() and (forwards < 1400).any()
    assert (np.asarray(result.backwards) == 0).all()


def test_the_first_success_is_kept_even_if_the_objective_does_not_rise():
    slope = np.random.default_rng(5).normal(size=12).astype(np.float32)
    attack = square(40, objective=lambda logits, goal: 0 * logits[0])
    model = Partial(rise, slope, 1 + 0.5 * slope.sum())
    threat, grey = threats.Linf(0.5), jnp.full((3, 4), 0.5)
    walks = jax.jit(
        jax.vmap(lambda s: walk(attack, jax.random.key(s), model, threat, grey, 0))
    )(jnp.arange(3, 9))
    late = 0
    for k in range(6):
        one = without_rest(jax.tree.map(lambda a: a[k], walks), 40)  # noqa: B023
        wins = one.points.reshape(-1, 12) @ slope >= model.args[1]
        first = int(np.argmax(wins)) if wins.any() else len(wins)
        assert (one.kept[:first] == one.points[0]).all()
        assert (one.kept[first:] == one.points[min(first, len(wins) - 1)]).all()
        late += 0 < first < len(wins) and wins[first + 1 :].any()
    assert late > 0


def test_windows_are_anywhere_with_equal_chances_and_signs_per_channel():
    shape, sides, n = (5, 4, 2), jnp.array([3, 2]), 3000
    keys = jax.random.split(jax.random.key(0), n)

    @jax.jit
    @jax.vmap
    def drawn(key):
        windows = patterns.draw_windows(key, sides, shape)
        return windows, patterns.window_mask(windows.offsets[0], sides, 5, 4)

    windows, masks = drawn(keys)
    rows, columns = np.asarray(windows.offsets).transpose(2, 1, 0)
    for one in (0, 1):
        counts = np.zeros((3, 3))
        np.add.at(counts, (rows[one], columns[one]), 1)
        assert (np.abs(counts - n / 9) < 5 * np.sqrt(n / 9)).all()
    together = np.bincount(rows[0] * 3 + rows[1], minlength=9)  # Independent.
    assert (np.abs(together - n / 9) < 5 * np.sqrt(n / 9)).all()
    assert (np.asarray(masks).sum((1, 2, 3)) == 6).all()
    assert np.asarray(masks).any(0).all()  # The last row and column too.
    signs = np.asarray(windows.signs)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs((signs[:, 0] * signs[:, 1]).mean()) < 0.1
    assert 0.45 < np.asarray(windows.turned).mean() < 0.55


@pytest.mark.parametrize("horizon", [10_000, 5000, 700])
def test_windows_shrink_when_published(horizon):
    halvings = patterns.halvings(horizon)
    stage_of = jax.vmap(lambda i: patterns.stage(halvings, i))
    stages = np.asarray(stage_of(jnp.arange(5000)))
    shares = patterns.shares(0.8)
    # A search of another length reads the published schedule at the same share of it.
    expected = [reference.share(i * 10_000 // horizon) for i in range(5000)]
    np.testing.assert_allclose(np.array(shares)[stages], expected)
    assert stages.max() == (7 if horizon == 10_000 else 9)


def test_sides_of_the_published_shares():
    sides = [
        patterns.window_sides(share, 32, 32, patterns.square_side)
        for share in patterns.shares(0.8)
    ]
    assert sides == [(s, s) for s in (29, 20, 14, 10, 7, 5, 4, 3, 2, 1)]


@pytest.mark.parametrize("shape", [(50, 1), (1, 50), (3, 40), (64, 2), (28, 30)])
@pytest.mark.parametrize("share", [0.8, 0.4, 0.05, 0.8 / 128])
def test_windows_of_long_images_keep_their_area(shape, share):
    tall, wide = patterns.window_sides(share, *shape, patterns.square_side)
    assert 1 <= tall <= shape[0] and 1 <= wide <= shape[1]
    wanted = share * shape[0] * shape[1]
    assert abs(tall * wide - wanted) <= max(tall, wide) + 1
    assert tall == wide or min(tall, wide) == min(shape)
    turned = patterns.window_sides(share, *shape[::-1], patterns.square_side)
    assert turned == (wide, tall)
    tall, wide = patterns.window_sides(share, *shape, patterns.pyramid_side)
    assert tall <= shape[0] and wide <= shape[1] and max(tall, wide) >= 3


def begun(x, threat):
    return square().init(jax.random.key(0), threat, x, Untargeted(0), jnp.zeros(2))


def test_an_image_may_come_in_any_rank():
    """A vector is a column, and the frames of a film are channels."""
    film = np.arange(48.0).reshape(2, 4, 3, 2)
    image = np.concatenate(list(film), axis=-1)
    for x, expected in [
        (film, image),
        (film[0], film[0]),
        (image[0], image[0, ..., None]),
    ]:
        assert image_shape(x.shape) == expected.shape
        found = as_image(jnp.asarray(x))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(from_image(found, x.shape), x)
    assert image_shape((5,)) == (5, 1, 1)


def test_starts_of_small_and_long_images_use_eps_and_both_signs():
    shapes, norms = [(7,), (4, 3), (2, 13, 4, 2)], ("linf", "l2")

    @jax.jit
    def starts():
        return [
            begun(jnp.full(shape, 0.5), threats.by_name(norm)(0.1)).accepted - 0.5
            for norm in norms
            for shape in shapes
        ]

    for k, move in enumerate(starts()):
        move = np.asarray(move, np.float64)
        size = np.abs(move).max() if k < len(shapes) else np.linalg.norm(move)
        np.testing.assert_allclose(size, 0.1, rtol=1e-5)
        assert (move != 0).all()
        assert move.min() < 0 < move.max()


@each_norm
def test_half_precision_inputs_stay_so(norm):
    run = functools.partial(drive.run(square(3)), jax.random.key(0), victims.wavy)
    shapes = jax.eval_shape(
        lambda x, label: run(threats.by_name(norm)(0.1), x, Untargeted(label)),
        jax.ShapeDtypeStruct((3, 4), jnp.bfloat16),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    assert (shapes.x_adv.dtype, shapes.x_adv.shape) == (jnp.bfloat16, (3, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: square(queries=0), "queries=0; expected an integer >= 1"),
        (lambda: square(horizon=0), "horizon=0; expected an integer >= 1"),
        (lambda: square(queries=2.5), "queries=2.5; expected an integer >= 1"),
        (lambda: square(proposals=0), "proposals=0; expected an integer >= 1"),
        (lambda: square(initial_share=0.0), r"initial_share=0.0; expected a share in"),
        (lambda: square(initial_share=1.5), r"initial_share=1.5; expected a share in"),
        (lambda: square(initial_share=float("nan")), "initial_share=nan; expected"),
        (
            lambda: begun(jnp.ones(4), threats.L0(1.0)),
            "threat.name='l0'; expected linf, l2, l1",
        ),
        (
            lambda: begun({"a": jnp.ones(4), "b": jnp.ones(2)}, threats.Linf(0.1)),
            "x=dict of 2 arrays; expected one array",
        ),
        (
            lambda: begun(jnp.ones((1, 1, 1, 1, 1)), threats.Linf(0.1)),
            r"x.shape=\(1, 1, 1, 1, 1\); expected",
        ),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
