"""SLIDE and PGD for L0: steps by hand, known optima, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.ascent.apgd_l1 import apgd_l1
from robust_jax.attacks.ascent.pgd_l0 import in_the_box, pgd_l0
from robust_jax.attacks.ascent.slide import slide
from robust_jax.attacks.skeletons import projected
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from tests import victims

N, SIZE = 4, 12
EPS = {"slide": 0.8, "pgd_l0": 5.0}
ATTACKS = {"slide": slide(40, 0.05, 75.0), "pgd_l0": pgd_l0(5)}
THREATS = {"slide": threats.L1, "pgd_l0": threats.L0}
FACTORIES = [(slide, threats.L1), (apgd_l1, threats.L1), (pgd_l0, threats.L0)]


def rise(slope, x):
    """Two logits; the margin of label 0 is slope @ x - 3."""
    return jnp.stack([jnp.zeros(()), slope @ x - 3.0])


def slopes():
    return np.random.default_rng(5).normal(size=SIZE).astype(np.float32)


def near_the_faces():
    """Two thirds of the coordinates have less than 0.1 of room to climb."""
    rng = np.random.default_rng(6)
    room = rng.uniform(0, 0.1, (N, SIZE))
    near = np.where(slopes() > 0, 1 - room, room)
    inside = rng.uniform(0.3, 0.7, (N, SIZE))
    return np.where(np.arange(SIZE) % 3 < 2, near, inside).astype(np.float32)


@functools.cache
def program(name):
    run = drive.run(ATTACKS[name], to_the_end=True)
    return jax.jit(lift.over_examples(run))


def attacked(name, images):
    """The gains in margin, and the displacements in float64."""
    goal, keys = Untargeted(np.zeros(N, np.int32)), lift.item_keys(0, np.arange(N))
    threat, model = THREATS[name](EPS[name]), Partial(rise, slopes())
    result = program(name)(keys, model, threat, images, goal)
    moves = np.asarray(result.x_adv, np.float64) - images
    return result.margin - (images @ slopes() - 3.0), moves


@pytest.mark.parametrize("where", ["in the middle", "near the faces"])
def test_pgd_l0_reaches_the_optimum_of_affine_models(where):
    """Room in the box times slope is what a coordinate is worth."""
    images = np.full((N, SIZE), 0.5, np.float32)
    images = images if where == "in the middle" else near_the_faces()
    rooms = np.where(slopes() > 0, 1 - images, images)
    optimum = np.sort(rooms * np.abs(slopes()), axis=1)[:, -5:].sum(1)
    gain, moves = attacked("pgd_l0", images)
    np.testing.assert_allclose(gain, optimum, rtol=1e-5)
    assert ((moves != 0).sum(1) <= 5).all()
    assert (np.abs(moves) <= rooms + 1e-7).all()


def test_slide_comes_near_the_optimum_of_affine_models():
    """Three coordinates share each step, so that the best one does not get all."""
    steepest = np.sort(np.abs(slopes()))[::-1]
    gain, moves = attacked("slide", np.full((N, SIZE), 0.5, np.float32))
    np.testing.assert_allclose(gain, EPS["slide"] * steepest[:3].mean(), rtol=1e-4)
    assert (np.abs(moves).sum(1) <= EPS["slide"] + 1e-6).all()

    images = near_the_faces()
    fill = np.stack([_greedily_filled(x, slopes(), EPS["slide"]) for x in images])
    ends, optimum = images + fill, (fill * slopes()).sum(1)
    assert ((ends == 0) | (ends == 1)).mean() >= 0.3
    gain, moves = attacked("slide", images)
    assert (gain >= 0.9 * optimum).all() and (gain <= optimum + 1e-5).all()
    assert (np.abs(moves).sum(1) <= EPS["slide"] + 1e-6).all()


def _greedily_filled(x, slope, eps):
    move, left = np.zeros(len(x)), eps
    for j in np.argsort(-np.abs(slope)):
        room = float(1 - x[j] if slope[j] > 0 else x[j])
        move[j] = np.sign(slope[j]) * min(room, left)
        left -= abs(move[j])
    return move


def test_one_step_of_slide_by_hand():
    slope = jnp.array([0.5, -4.0, 3.0, 2.0, -1.0, 0.1, 0.2, -0.3])
    image = jnp.array([0.5, 0.5, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5])
    threat, attack = threats.L1(0.4), slide(3, 0.5, percentile=75.0)
    state = attack.init(jax.random.key(0), threat, image, Untargeted(0), jnp.zeros(2))
    np.testing.assert_array_equal(state.iterate, image)
    state = jax.jit(attack.step)(Partial(rise, slope), threat, state)
    # Two of eight move; the third coordinate is at the face that it would go to.
    expected = np.array([0, -0.1, 0, 0.1, 0, 0, 0, 0])
    np.testing.assert_allclose(state.iterate - image, expected, atol=1e-7)


def test_one_step_of_pgd_l0_by_hand():
    """L1 length 0.8, all coordinates together; then the two best of them stay."""
    slope = jnp.array([0.5, -1.0, 1.5, 0.25, -0.75])
    image = jnp.array([0.5, 0.5, 0.9, 0.5, 0.5])
    attack = pgd_l0(3, step_size=0.8)
    state = attack.init(
        jax.random.key(0), threats.L0(2.0), image, Untargeted(0), jnp.zeros(2)
    )
    state = state._replace(iterate=image)
    step = jax.jit(attack.step)
    state = step(Partial(rise, slope), threats.L0(2.0), state)
    # Moves of 0.1, -0.2, 0.3, 0.05, -0.15, of which the box cuts the third to 0.1:
    # it takes 0.3^2 - 0.2^2 off the squared distance, the second 0.2^2.
    expected = np.array([0, -0.2, 0.1, 0, 0])
    np.testing.assert_allclose(state.iterate - image, expected, atol=1e-6)


def test_pgd_l0_starts_from_the_largest_moves_of_a_uniform_image():
    image, threat = jnp.zeros(100), threats.L0(5.0)
    first, second = (
        np.asarray(in_the_box(jax.random.key(k), threat, image)) for k in (0, 1)
    )
    for start in (first, second):
        assert (start != 0).sum() == 5 and start[start != 0].min() > 0.85
    assert (first != second).any()
    shifted = threats.L0(5.0, lower=-2.0, upper=0.5)
    start = np.asarray(in_the_box(jax.random.key(0), shifted, image))
    assert (start[start != 0] < -1.7).all() and (start >= -2).all()


def test_slide_may_start_at_random():
    attack, threat = slide(start=projected.at_random), threats.L1(0.5)
    state = attack.init(
        jax.random.key(0), threat, jnp.full(6, 0.5), Untargeted(0), jnp.zeros(2)
    )
    assert 0.05 < np.abs(state.iterate - 0.5).sum() <= 0.5 + 1e-6


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(("make", "kind"), FACTORIES)
def test_half_precision_inputs_stay_so(make, kind, dtype):
    run = functools.partial(drive.run(make()), jax.random.key(0), victims.wavy)
    shapes = jax.eval_shape(
        lambda x, label: run(kind(2.0), x, Untargeted(label)),
        jax.ShapeDtypeStruct((6,), dtype),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    assert (shapes.x_adv.dtype, shapes.x_adv.shape) == (dtype, (6,))


@pytest.mark.parametrize(("make", "kind"), FACTORIES)
def test_trees_of_arrays_are_attacked_as_one_vector(make, kind):
    """Steps, sparsity and start count the coordinates of all leaves together."""
    slope, threat = jnp.asarray(slopes()), kind(2.0)
    image = jnp.asarray(near_the_faces()[0])

    def of_tree(x):
        return rise(slope, jnp.concatenate([x["a"].ravel(), x["b"]]))

    @jax.jit
    def three_steps(model, x):
        state = attack.init(jax.random.key(0), threat, x, Untargeted(0), jnp.zeros(2))
        state = state._replace(iterate=x)  # Keys are split among leaves.
        state, _ = jax.lax.scan(
            lambda s, _: (attack.step(model, threat, s), None), state, length=3
        )
        return state.iterate

    attack = make(steps=3)
    tree = {"a": image[:8].reshape(2, 4), "b": image[8:]}
    found = three_steps(Partial(of_tree), tree)
    found = np.concatenate([found["a"].ravel(), found["b"]])
    np.testing.assert_allclose(
        found, three_steps(Partial(rise, slope), image), atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: slide(steps=0), "steps=0; expected an integer >= 1"),
        (lambda: slide(relative_step=0.0), "relative_step=0.0; expected a finite"),
        (lambda: slide(percentile=100.0), r"percentile=100.0; expected a number in"),
        (lambda: pgd_l0(steps=1.5), "steps=1.5; expected an integer >= 1"),
        (lambda: pgd_l0(step_size=-1.0), "step_size=-1.0; expected a finite"),
    ],
)
def test_bad_arguments_are_refused_when_the_attack_is_made(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [(slide, "threat=Linf; expected threats.L1"), (pgd_l0, "threat=Linf; .* use pgd")],
)
def test_other_norms_are_refused(make, words):
    image = jnp.full(SIZE, 0.5)
    with pytest.raises(ValueError, match=words):
        make().init(
            jax.random.key(0), threats.Linf(0.1), image, Untargeted(0), jnp.zeros(2)
        )
