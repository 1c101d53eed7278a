"""Estimators that remember, and the presets, beside the papers' algorithms in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.ascent import transfer
from robust_jax.attacks.gradients import stateful, transforms
from robust_jax.attacks.gradients.estimator import Query
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests.estimators import (
    EPS,
    LABEL,
    NET,
    POINTS,
    THREAT,
    assert_judged_at,
    climb,
    estimate_at,
    oracle_gradient,
)
from tests.reference import transfer as oracle

# --- Estimators with a memory


def test_lookahead_visits_nesterovs_point_and_accumulates():
    gradient = stateful.lookahead(0.5, 0.7, transforms.scale_invariance(2))
    (estimate, (direction, _)), visited = estimate_at(gradient, POINTS)
    expected = oracle.looks(
        oracle.over_scales(oracle_gradient, 2), POINTS, 0.5 * EPS, 0.7, ahead=True
    )
    np.testing.assert_allclose(estimate.grad, expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(direction, expected[2], rtol=1e-4, atol=1e-5)
    assert_judged_at(POINTS, estimate)
    for x, ahead, seen in zip(POINTS, expected[1], visited, strict=True):
        for point in (x, ahead, ahead / 2):
            assert np.abs(seen["at"] - point).max(axis=1).min() < 1e-5


@pytest.mark.parametrize("ahead", [False, True])
def test_variance_tuning_adds_what_neighbours_said_one_step_ago(ahead):
    samples, radius = 30, 1.5 * EPS
    if ahead:
        gradient = stateful.nesterov_variance_tuning(samples, 1.5, 0.5, 0.7)
    else:
        gradient = stateful.variance_tuning(samples)
    (estimate, memory), visited = estimate_at(gradient, POINTS)
    tuned, centres, neighbours = [], [], []
    for t, x in enumerate(POINTS):
        centres = oracle.looks(  # As far as the neighbours are known.
            oracle_gradient,
            POINTS[: t + 1],
            0.5 * EPS,
            0.7,
            ahead=ahead,
            neighbours=[*neighbours, [x]],
        )
        tuned.append(centres[0][t])
        at = visited[t]["at"]
        own = [np.abs(at - c).max(axis=1) < 1e-5 for c in (x, centres[1][t])]
        near = at[~own[0] & ~own[1]]
        offsets = near - x  # Those of the iterate, wherever the gradient is from.
        assert len(near) == samples and (np.abs(offsets) <= radius + 1e-6).all()
        assert (np.abs(offsets).max(axis=0) > 0.8 * radius).all()
        assert (np.abs(offsets.mean(axis=0)) < 0.5 * radius).all()
        neighbours.append(near)
    assert not np.isin(neighbours[0] - POINTS[0], neighbours[1] - POINTS[1]).any()
    np.testing.assert_allclose(estimate.grad, tuned, rtol=1e-4, atol=1e-5)
    assert_judged_at(POINTS, estimate)
    if ahead:
        np.testing.assert_allclose(memory[0], centres[2], rtol=1e-4, atol=1e-5)


def test_memories_do_not_depend_on_the_scale_of_the_gradient():
    gradient = stateful.nesterov_variance_tuning(3, 1.5, 0.5)

    @jax.jit
    @jax.vmap
    def looks(scale):
        def estimate(memory, key_and_x):
            key, x = key_and_x
            query = Query(key, NET, THREAT, lambda z: scale * climb(z), x)
            estimate, memory = gradient.estimate(query, memory)
            return memory, estimate.grad / scale

        keys = jax.random.split(jax.random.key(0), len(POINTS))
        memory = gradient.init(jnp.asarray(POINTS[0]))
        memory, grads = jax.lax.scan(estimate, memory, (keys, POINTS))
        return grads, memory[0]

    (plain, *others), directions = looks(jnp.array([1.0, 1e-20, 1e20]))
    for grad, direction in zip(others, directions[1:], strict=True):
        np.testing.assert_allclose(grad, plain, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(direction, directions[0], rtol=1e-3)


@pytest.mark.parametrize(("norm", "size"), [("linf", 1.0), ("l2", 3.0), ("l1", 9.0)])
def test_an_even_move_uses_up_eps_in_every_norm(norm, size):
    threat, x = threats.by_name(norm)(0.3), jnp.full((3, 3), 0.5)
    move = stateful.even_move(threat, x)
    np.testing.assert_allclose(move, 0.3 / size, rtol=1e-6)
    np.testing.assert_allclose(threat.distance(x + move, x), 0.3, rtol=1e-5)


def test_pytrees_pass_where_no_image_is_needed():
    x = {"a": jnp.full(3, 0.5), "b": jnp.full((2, 2), 0.25)}
    gradient = stateful.nesterov_variance_tuning(
        2, inner=transforms.scale_invariance(2)
    )

    def estimate(x):
        model = lambda x: jnp.stack([jnp.sum(x["a"]), jnp.sum(x["b"] ** 2)])  # noqa: E731
        query = Query(jax.random.key(0), model, THREAT, jnp.sum, x)
        return gradient.estimate(query, gradient.init(x))[0].grad

    grad = jax.jit(estimate)(x)
    np.testing.assert_allclose(grad["a"], 0.75, rtol=1e-6)
    np.testing.assert_allclose(grad["b"], (1 + 0.25) / 2 * 2 * 0.25, rtol=1e-6)


# --- The papers' presets


def test_si_ni_fgsm_goes_the_papers_way():
    attack, x = transfer.si_ni_fgsm(4, 0.3, 0.7, copies=3), jnp.asarray(POINTS[0])

    @jax.jit
    def iterates(x):
        state, found = (
            attack.init(jax.random.key(0), THREAT, x, Untargeted(LABEL), jnp.zeros(2)),
            [],
        )
        for _ in range(4):
            state = attack.step(NET, THREAT, state)
            found.append(state.iterate)
        return jnp.stack(found)

    gradient = oracle.over_scales(oracle_gradient, 3)
    expected = oracle.iterates(gradient, POINTS[0], EPS, 0.3 * EPS, 0.7, 4)
    np.testing.assert_allclose(iterates(x), expected, atol=1e-5)


def test_presets_are_momentum_with_their_estimators():
    inner, mim = transforms.input_diversity(), attacks.mim
    margin = objectives.margin
    for preset, estimator in (
        (
            transfer.di_fgsm(4, 0.3, 0.7, 0.2, margin, inner),
            transforms.input_diversity(0.2, inner=inner),
        ),
        (
            transfer.ti_fgsm(4, 0.3, 0.7, 5, margin, inner),
            transforms.translation_invariance(5, inner),
        ),
        (
            transfer.ni_fgsm(4, 0.3, 0.7, margin, inner),
            stateful.lookahead(0.3, 0.7, inner),
        ),
        (
            transfer.si_ni_fgsm(4, 0.3, 0.7, 3, margin, inner).made,  # an NI-FGSM
            stateful.lookahead(0.3, 0.7, transforms.scale_invariance(3, inner)),
        ),
        (
            transfer.vmi_fgsm(4, 0.3, 0.7, 6, 2.0, margin, inner),
            stateful.variance_tuning(6, 2.0, inner),
        ),
        (
            transfer.vni_fgsm(4, 0.3, 0.7, 6, 2.0, margin, inner),
            stateful.nesterov_variance_tuning(6, 2.0, 0.3, 0.7, inner),
        ),
    ):
        made = mim(4, 0.3, 0.7, margin, estimator)
        assert preset.made == made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: stateful.lookahead(0.0), "relative_step=0.0; expected a finite"),
        (lambda: stateful.lookahead(0.1, -1.0), "decay=-1.0; expected a finite number"),
        (lambda: stateful.variance_tuning(0), "samples=0; expected an integer >= 1"),
        (lambda: stateful.variance_tuning(2, -1.0), "relative_radius=-1.0; expected"),
        (lambda: transfer.vni_fgsm(relative_radius=0), "relative_radius=0; expected"),
        (lambda: transfer.vni_fgsm(decay=float("nan")), "decay=nan; expected a finite"),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
