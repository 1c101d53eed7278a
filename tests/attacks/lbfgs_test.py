"""L-BFGS: beside a loop of SciPy's solver, and its search for the penalty."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from experiments.comparisons.peers import scipy_lbfgs
from robust_jax import attacks, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Untargeted
from robust_jax.losses import objectives
from tests.attacks import programs

SIZE, CLASSES, N = 30, 5, 8


def net(params, x):
    for layer in (params["Dense_0"], params["Dense_1"]):
        x = jax.nn.sigmoid(x @ layer["kernel"] + layer["bias"])
    return x @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"]


@functools.cache
def problem():
    """A net of sigmoid layers, images with pixels on faces of the box, and targets."""
    rng = np.random.default_rng(5)
    sizes = (SIZE, 16, 16, CLASSES)
    params = {
        f"Dense_{k}": {
            "kernel": np.float32(3 * rng.normal(size=(a, b)) / a**0.5),
            "bias": np.float32(0.3 * rng.normal(size=b)),
        }
        for k, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    images = np.clip(rng.uniform(-0.5, 1.3, (N, SIZE)), 0, 1).astype(np.float32)
    labels = np.argmax(jax.vmap(functools.partial(net, params))(images), axis=1)
    targets = (labels + rng.integers(1, CLASSES, N)) % CLASSES
    return params, images, targets.astype(np.int32)


def test_as_near_as_a_loop_of_scipys_solver():
    params, images, targets = problem()
    run = drive.hosted(attacks.lbfgs(), to_the_end=True)
    keys = lift.item_keys(0, np.arange(N, dtype=np.uint64))
    model = Partial(net, params)
    found = run(keys, model, threats.L2(np.inf), images, Reach(targets))
    theirs = [
        scipy_lbfgs.nearest(scipy_lbfgs.sigmoid_net(params, target), x, ftol=2.2e-9)
        for x, target in zip(images.astype(float), targets, strict=True)
    ]
    distances, evaluations = np.array(theirs).T
    reached = np.isfinite(distances)
    np.testing.assert_array_equal(found.margin >= 0, reached)
    assert 4 <= reached.sum() < N  # Some targets are out of reach.
    ours = np.where(reached, found.distance, 0)
    np.testing.assert_allclose(ours.sum(), distances[reached].sum(), rtol=0.01)
    assert (found.forwards < 1000).all()  # Its schedule ends before its budget.
    assert found.forwards.mean() < 1.2 * evaluations.mean()


def finished(attack, model, threat, x, goal):
    """The state at the end of one example's schedule."""
    threat = jax.tree.map(jnp.float32, threat)
    state = programs.init(attack, jax.random.key(0), threat, x, goal)
    while state.i < attack.steps:
        state = programs.step(attack, model, threat, state)
    return state


def a_sum(lead, x):
    return jnp.stack([lead, jnp.sum(x)])


@pytest.mark.parametrize(("lead", "largest"), [(0.08, 1 / 0.16), (30.0, 1 / 60)])
def test_the_bracket_closes_on_the_largest_penalty_that_wins(lead, largest):
    """On logits whose margin is a sum, c wins if and only if c <= 1 / (2 lead)."""

    model = Partial(a_sum, jnp.float32(lead))
    # delta = 1 / (2 c) everywhere, so the margin is n / (2 c) - lead, n = 1.
    attack = attacks.lbfgs(objective=objectives.margin)
    wide = threats.L2(np.inf, -100, 100)
    goal = Untargeted(jnp.asarray(0))
    state = finished(attack, model, wide, jnp.zeros(1), goal)
    good, bad = float(state.penalty.good), float(state.penalty.bad)
    assert good <= largest * 1.001 and bad >= largest * 0.999
    np.testing.assert_allclose(bad / good, 10 ** (1 / 2**8), rtol=1e-4)
    assert int(state.penalty.halvings) == 8 and state.forwards < 200
    np.testing.assert_allclose(state.best.distance, lead, rtol=0.01)


def test_gives_up_after_as_many_decades_where_nothing_can_be_reached():
    attack = attacks.lbfgs(decades=3)

    def model(x):
        return jnp.stack([2.0 + 0.1 * jnp.sum(x), 0.0])

    goal = Reach(jnp.asarray(1))
    state = finished(attack, model, threats.L2(np.inf), jnp.full(4, 0.5), goal)
    assert state.best.margin < 0 and state.forwards < 100
    assert (state.penalty.good, state.penalty.solves) == (0, 4)
    np.testing.assert_allclose(state.penalty.bad, 1e-3, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "expected an integer >= 1"),
        ("iterations", 0, "expected an integer >= 1"),
        ("memory", 2.5, "expected an integer >= 1"),
        ("decades", 0, "expected an integer >= 1"),
        ("halvings", -1, "expected an integer >= 1"),
        ("ftol", 0.0, "expected a finite number > 0"),
        ("penalty", float("inf"), "expected a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused(name, value, words):
    with pytest.raises(ValueError, match=f"{name}={value!r}; {words}"):
        attacks.lbfgs(**{name: value})


def test_other_norms_are_refused():
    attack = attacks.lbfgs()
    with pytest.raises(ValueError, match=r"threat=Linf; expected threats\.L2"):
        attack.init(
            jax.random.key(0), threats.Linf(0.1), jnp.zeros(2), Reach(1), jnp.zeros(2)
        )
