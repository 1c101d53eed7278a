import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import optimize

from robust_jax import threats
from tests.reference import fab as reference, projections as oracle

NORMS = ["linf", "l2", "l1"]
D, CASES = 8, 200
DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def one(norm, normal, gap, x, lower, upper):
    return threats.by_name(norm)(1.0, lower, upper).cross(normal, gap, x)


ONE = {norm: jax.jit(functools.partial(one, norm)) for norm in NORMS}
MANY = {norm: jax.jit(jax.vmap(functools.partial(one, norm))) for norm in NORMS}
ways_of = jax.jit(lambda ball, *at: (ball.cross(*at), ball.dual(at[0])))


def cross(norm, normal, gap, x, lower, upper):
    box = (np.broadcast_to(np.float32(face), np.shape(x)) for face in (lower, upper))
    return np.asarray(ONE[norm](*map(np.float32, (normal, gap, x)), *box))


def case(seed):
    """A point often on a face, in a shaped box; gaps within reach, beyond it and 0."""
    rng = np.random.default_rng(seed)
    lower, upper = -rng.random(D), rng.random(D)
    x = np.where(rng.random(D) < 0.3, lower, rng.uniform(lower, upper))
    x = np.where(rng.random(D) < 0.2, upper, x)
    normal = rng.normal(size=D) * 10.0 ** rng.uniform(-2, 0, D)
    normal *= rng.random(D) > rng.choice([0.1, 0.3, 1.0], p=[0.5, 0.45, 0.05])
    lower, upper, x, normal = (a.astype(np.float32) for a in (lower, upper, x, normal))
    sign = rng.choice([-1.0, 1.0])
    ends = np.where(sign * normal > 0, upper, lower).astype(np.float64)
    most = np.abs(normal) @ np.abs(ends - x)
    share = rng.choice(
        [0.0, 2.0, rng.random(), rng.random() ** 4], p=[0.1, 0.2, 0.5, 0.2]
    )
    gap = np.float32(sign * share * most)
    corner = np.where(normal == 0, 0, ends - x)
    return (normal, gap, x, lower, upper), corner, share < 1 and most > 0


def by_programming(norm, normal, gap, x, lower, upper):
    """The least size of a displacement onto the plane, which the box allows."""
    normal, gap, x, lower, upper = map(np.float64, (normal, gap, x, lower, upper))
    if norm == "l1":  # Up less down.
        equal = np.concatenate([normal, -normal])[None]
        bounds = [(0, b) for b in (*(upper - x), *(x - lower))]
        return optimize.linprog(np.ones(2 * D), A_eq=equal, b_eq=gap, bounds=bounds).fun
    if norm == "linf":  # The displacement, and a bound of its coordinates.
        both = np.block([[np.eye(D), -np.ones((D, 1))], [-np.eye(D), -np.ones((D, 1))]])
        bounds = [*zip(lower - x, upper - x, strict=True), (0, None)]
        return optimize.linprog(
            np.eye(D + 1)[-1],
            A_ub=both,
            b_ub=np.zeros(2 * D),
            A_eq=np.append(normal, 0)[None],
            b_eq=gap,
            bounds=bounds,
        ).fun

    def moved(multiple):
        return np.clip(multiple * normal, lower - x, upper - x)

    far = np.sign(gap) * 1e9
    root = optimize.brentq(lambda m: normal @ moved(m) - gap, 0, far, xtol=1e-14)
    return oracle.size("l2", moved(root))


@functools.cache
def solved(norm):
    problems = [case(seed) for seed in range(CASES)]
    arguments = [np.stack(a) for a in zip(*(p[0] for p in problems), strict=True)]
    return problems, np.asarray(MANY[norm](*arguments))


@pytest.mark.parametrize("norm", NORMS)
def test_as_short_as_programming_finds(norm):
    reached = 0
    for (arguments, corner, reachable), found in zip(*solved(norm), strict=True):
        normal, gap, x, lower, upper = arguments
        moved = x + found
        assert (moved >= lower - 1e-7).all() and (moved <= upper + 1e-7).all()
        if not reachable and gap != 0:
            np.testing.assert_allclose(found, corner, atol=1e-6)
            continue
        climbed = normal.astype(np.float64) @ found
        np.testing.assert_allclose(climbed, gap, rtol=1e-6)
        if gap == 0:
            np.testing.assert_array_equal(found, 0)
            continue
        least = by_programming(norm, *arguments)
        size = oracle.size(norm, found)
        np.testing.assert_allclose(size, least, rtol=1e-5, atol=2e-7)
        expected = reference.shortest(norm, *(np.float64(a) for a in arguments))
        # A small entry of the normal turns the rounding of the gap into a long way.
        np.testing.assert_allclose(normal * found, normal * expected, atol=1e-6)
        np.testing.assert_allclose(size, oracle.size(norm, expected), rtol=1e-5)
        reached += 1
    assert 80 < reached < 180


@pytest.mark.parametrize("norm", NORMS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_displacement_on_the_plane_is_shorter(norm, seed):
    rng, ((normal, gap, x, lower, upper), _, reachable) = (
        np.random.default_rng(seed),
        case(seed),
    )
    found = cross(norm, normal, gap, x, lower, upper).astype(np.float64)
    assert (x + found >= lower - 1e-6).all() and (x + found <= upper + 1e-6).all()
    if not reachable:
        return
    np.testing.assert_allclose(normal @ found, gap, rtol=1e-5)
    # Within the plane, and along few coordinates as well as along all.
    aside = rng.normal(size=(1000, D)) * (rng.random((1000, D)) < rng.random((1000, 1)))
    held = normal * (aside != 0)
    squares = np.maximum((held**2).sum(1, keepdims=True), 1e-30)
    aside -= (aside @ normal)[:, None] * held / squares
    others = found + aside * 10.0 ** rng.uniform(-4, 0, (1000, 1))
    feasible = ((x + others >= lower) & (x + others <= upper)).all(1)
    feasible &= np.abs(others @ normal - gap) <= 1e-9 * np.abs(gap)
    least = oracle.size(norm, found)
    assert all(oracle.size(norm, o) >= least * (1 - 1e-5) for o in others[feasible])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1e20, 1e37])
def test_the_scale_of_the_normal_does_not_matter(norm, scale):
    x = np.float32([0, 0.9, 0.5, 0.1, 1, 0.7, 0.2, 0.4])
    normal, gap = np.float32([1, 2, -0.5, 0.7, -3, 0, 1.5, -1]), np.float32(2.5)
    expected, scale = cross(norm, normal, gap, x, 0, 1), np.float32(scale)
    found = cross(norm, scale * normal, scale * gap, x, 0, 1)
    np.testing.assert_allclose(normal @ expected, gap, rtol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_breakpoints_over_many_octaves_are_met_exactly(norm):
    """Where a few Newton steps would stop far from the root."""
    rng = np.random.default_rng(0)
    x = (10.0 ** rng.uniform(-7, 0, 784)).astype(np.float32)
    normal = (-1 / x).astype(np.float32)
    most = np.abs(normal.astype(np.float64)) @ x
    for missing in (0.5, 1e-3):
        gap = np.float32(most * (1 - missing))
        wide = [np.float64(a) for a in (normal, gap, x, 0.0, 1.0)]
        found = cross(norm, normal, gap, x, 0, 1)
        np.testing.assert_allclose(wide[0] @ found, gap, rtol=1e-6)
        least = oracle.size(norm, reference.shortest(norm, *wide))
        np.testing.assert_allclose(oracle.size(norm, found), least, rtol=1e-6 / missing)


@pytest.mark.parametrize("norm", NORMS)
def test_without_a_box_the_distance_is_the_gap_over_the_dual_norm(norm):
    ball = threats.by_name(norm)(0.1, -np.inf, np.inf)
    normal = np.float32([3, -4, 0, 1e-3, 2, -1, 0.5, 0])
    dual = np.linalg.norm(normal.astype(np.float64), DUAL[norm])
    for gap in (-2.0, 2.0, 1e-6):
        found, largest_climb = ways_of(ball, normal, gap, np.full(D, 0.5, "f"))
        np.testing.assert_allclose(largest_climb, dual, rtol=1e-6)
        np.testing.assert_allclose(oracle.size(norm, found), abs(gap) / dual, rtol=1e-6)
        np.testing.assert_allclose(normal @ np.float64(found), gap, rtol=1e-6)


def test_l1_ties_share_and_stay_in_their_rooms():
    x = np.float32([0, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    normal = np.float32([2, 2, 2, 1, 1, 0, 0, 0])
    found = cross("l1", normal, 0.6, x, 0, 1)
    np.testing.assert_allclose(found @ normal, 0.6, rtol=1e-6)
    np.testing.assert_allclose(np.abs(found).sum(), 0.3, rtol=1e-6)
    assert (found[:3] > 0).all() and (found[3:] == 0).all() and found[1] <= 0.1 + 1e-7


@pytest.mark.parametrize("norm", NORMS)
def test_no_normal_or_no_gap_stays_and_nan_is_not_hidden(norm):
    x, normal = np.full(D, 0.5, "f"), np.arange(D, dtype=np.float32)
    np.testing.assert_array_equal(cross(norm, 0 * normal, 1.0, x, 0, 1), 0)
    np.testing.assert_array_equal(cross(norm, normal, 0.0, x, 0, 1), 0)
    assert np.isnan(cross(norm, normal, np.nan, x, 0, 1)[-1])


def test_pytrees_shaped_boxes_and_half_precision():
    rng = np.random.default_rng(1)
    x, normal = rng.random((2, D)).astype(np.float32)
    lower = np.minimum(x, np.float32(0.3))

    def tree(vector):
        return {"a": vector[:6].reshape(2, 3), "b": vector[6:]}

    ball = threats.L2
    flat = ways_of(ball(1.0, lower, 1.0), normal, -0.4, x)
    deep = ways_of(ball(1.0, tree(lower), 1.0), tree(normal), -0.4, tree(x))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(close, deep, (tree(flat[0]), flat[1]))
    assert (np.abs(flat[0]) > 0).sum() < D  # Some are at the face of the shaped box.
    half = [jnp.asarray(a, jnp.bfloat16) for a in (normal, x)]
    found, dual = ways_of(threats.Linf(1.0), half[0], 0.1, half[1])
    assert (found.dtype, dual.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(np.float32(half[0] * found).sum(), 0.1, rtol=0.02)


@pytest.mark.parametrize("norm", NORMS)
def test_float64_is_exact_to_float64(norm):
    (normal, _, x, lower, upper), _, _ = case(3)
    wide = [np.float64(a) for a in (normal, 0.3, x, lower, upper)]
    with jax.enable_x64(True):
        found = np.asarray(ONE[norm](*wide))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, reference.shortest(norm, *wide), rtol=1e-12)
