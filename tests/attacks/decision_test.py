"""Attacks that see labels alone, beside the boundary of an affine model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.queries.geoda import probes_of_round
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.reference import nearest_boundary

SIZE, CLASSES, N = 12, 2, 16
QUERIES = 2_500  # At which each is within 5 % of the boundary.
MAKE = {
    "boundary_attack": attacks.boundary_attack,
    "hop_skip_jump": attacks.hop_skip_jump,
    "sign_opt": attacks.sign_opt,
    "rays": attacks.rays,
    "geoda": attacks.geoda,
}
NORMS = {"rays": ("linf",), "hop_skip_jump": ("l2", "linf"), "geoda": ("l2", "linf")}
CASES = [(name, norm) for name in MAKE for norm in NORMS.get(name, ("l2",))]
each_case = pytest.mark.parametrize(
    ("name", "norm"),
    [pytest.param(*c, marks=pytest.mark.xdist_group(c[0])) for c in CASES],
)
# One of those that walk and one of those that search along rays; the others in full.
asked_for = pytest.mark.parametrize(
    ("name", "norm"),
    [
        pytest.param(
            name,
            NORMS.get(name, ("l2",))[0],
            marks=[pytest.mark.xdist_group(name), *marks],
        )
        for name in MAKE
        for marks in [[] if name in ("hop_skip_jump", "rays") else [pytest.mark.full]]
    ],
)


def keys(n=N):
    return lift.item_keys(0, np.arange(n, dtype=np.uint64))


@functools.cache
def problem():
    weights = victims.affine_victim((SIZE,), CLASSES).args[0]
    # The boundary passes through the middle of the box.
    bias = -weights @ jnp.full(SIZE, 0.5)
    model = Partial(affine_or_signs, weights, bias, jnp.array(False))
    images = victims.inputs((SIZE,), N, low=0.3, high=0.7)
    return model, images, victims.predicted(model, images)


def affine_or_signs(weights, bias, blind, x):
    """Affine logits; or one-hot ones: the label, and nothing else."""
    logits = victims.affine(weights, bias, x)
    return jnp.where(blind, jax.nn.one_hot(jnp.argmax(logits), len(bias)), logits)


@functools.cache
def found(name, norm, blind=False):
    model, images, labels = problem()
    run = drive.traced(MAKE[name](QUERIES), to_the_end=True)
    seen = Partial(model.func, *model.args[:2], jnp.array(blind))
    return run(keys(), seen, threats.by_name(norm)(jnp.inf), images, Untargeted(labels))


@each_case
def test_comes_within_five_per_cent_of_an_affine_boundary(name, norm):
    model, images, labels = problem()
    weights, bias = (np.asarray(a, np.float64) for a in model.args[:2])
    exact = [
        nearest_boundary.distance(norm, weights, bias, x.astype(float), y)
        for x, y in zip(images, labels, strict=True)
    ]
    result = found(name, norm)
    assert (result.margin >= 0).all()
    assert (result.forwards == 1 + QUERIES).all() and (result.backwards == 0).all()
    ratio = np.asarray(result.distance) / exact
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < 1.05


@each_case
def test_labels_are_all_that_it_sees(name, norm):
    """One-hot answers in place of logits lead it as near."""
    blind = found(name, norm, blind=True)
    # Up to decisions within rounding of the boundary.
    np.testing.assert_allclose(blind.distance, found(name, norm).distance, rtol=2e-3)
    assert (blind.margin == 1).all()


@asked_for
def test_reaches_a_class_that_is_asked_for(name, norm):
    model, images, labels = problem()
    target = (labels + 1) % CLASSES
    run = drive.traced(MAKE[name](QUERIES), to_the_end=True)
    threat = threats.by_name(norm)(jnp.inf)
    result = run(keys(), model, threat, images, Reach(target))
    margins = jax.vmap(lambda x, t: objectives.margin(model(x), Reach(t)))
    assert (result.margin >= 0).all()
    assert (margins(result.x_adv, target) > -1e-5).all()


@pytest.mark.xdist_group("hop_skip_jump")
def test_a_start_that_fails_fails_its_own_example_alone():
    """No noise of the box is adversarial for the first example, whose bias is large."""
    _, images, labels = problem()

    def model(x):
        return victims.affine(*problem()[0].args[:2], x) + 1e3 * hard(x) * own(x)

    def hard(x):  # Near the first image all points count as its class.
        return x[0] < 2

    def own(x):
        first = jnp.arange(CLASSES) == labels[0]
        return jnp.where(x[1] > 4, first, False)

    pictures = np.array(images)
    pictures[0, 1] = 4.5  # Its box alone reaches so far.
    upper = np.ones_like(pictures)
    upper[0, 1] = 5.0
    lower = np.zeros_like(pictures)
    lower[0, 1] = 4.1
    threat = threats.L2(jnp.full(N, jnp.inf), lower, upper)
    run = drive.hosted(attacks.hop_skip_jump(400), to_the_end=True)
    result = run(keys(), model, threat, pictures, Untargeted(labels))
    won = np.asarray(result.margin) >= 0
    assert not won[0] and won[1:].all()
    assert result.forwards[0] == 1 + 100  # The clean input and 100 noise images.
    assert (result.forwards[1:] == 401).all()
    alone = found_alone(model, lower, upper, pictures, labels)
    np.testing.assert_allclose(result.distance[1:], alone.distance[1:], rtol=1e-5)


def found_alone(model, lower, upper, pictures, labels):
    """The same without the first example: another one twice in its place."""
    rows = np.array([1, *range(1, N)])
    run = drive.hosted(attacks.hop_skip_jump(400), to_the_end=True)
    threat = threats.L2(jnp.full(N, jnp.inf), lower[rows], upper[rows])
    goal = Untargeted(labels[rows])
    return run(keys()[rows], model, threat, pictures[rows], goal)


@pytest.mark.xdist_group("hop_skip_jump")
def test_starts_from_the_image_that_it_is_given():
    model, images, labels = problem()
    other = np.array([images[labels != y][0] for y in labels])
    run = drive.hosted(attacks.hop_skip_jump(2), to_the_end=True)
    threat = threats.L2(jnp.inf)
    result = run(keys(), model, threat, images, Untargeted(labels), other)
    middle = (images + other) / 2  # The second query.
    nearer = victims.predicted(model, middle) != labels
    expected = np.where(nearer[:, None], middle, other)
    np.testing.assert_allclose(result.x_adv, expected, atol=1e-6)


def test_noise_reaches_as_far_as_it_must():
    """Without a box, adversarial points may be far: noise goes farther each time."""

    def model(x):
        return jnp.stack([0.0, jnp.max(jnp.abs(x)) - 50])

    run = drive.traced(attacks.hop_skip_jump(400), to_the_end=True)
    threat = threats.L2(jnp.inf, -jnp.inf, jnp.inf)
    result = run(
        keys(2), model, threat, jnp.zeros((2, 3)), Untargeted(jnp.zeros(2, int))
    )
    assert (result.margin >= 0).all()
    assert (np.abs(result.x_adv).max(1) < 53).all()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.999, 1.0])
@pytest.mark.parametrize("queries", [9, 1_250, 4_000, 20_000])
def test_geoda_shares_its_queries_geometrically_among_rounds(queries, share):
    rounds = max(1, round(queries / 500))
    weights = share ** (-2 * np.arange(rounds + 1) / 3)
    weights[-1] = weights[-2]  # Beyond the plan, as many as in its last round.
    left = queries - 30 * (rounds + 1)
    wanted = np.maximum(1, left * weights / weights[:-1].sum())
    got = probes_of_round(queries, share, jnp.arange(rounds + 1))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=0.51)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: attacks.hop_skip_jump(1), "queries=1; expected an integer >= 2"),
        (lambda: attacks.hop_skip_jump(9, first_probes=0), "first_probes=0"),
        (lambda: attacks.rays(9, tolerance=0.0), "tolerance=0"),
        (lambda: attacks.boundary_attack(9, adaptation=1.0), "adaptation=1"),
        (lambda: attacks.geoda(9, share=0.0), "share=0"),
        (lambda: attacks.geoda(9, side=0), "side=0"),
        (lambda: attacks.sign_opt(9, probes=0), "probes=0"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize("name", list(MAKE))
def test_a_norm_without_the_attack_is_refused(name):
    with pytest.raises(ValueError, match=f"threat=L1; expected .* for {name}"):
        MAKE[name](9).init(
            keys(1)[0], threats.L1(1.0), jnp.zeros(3), Untargeted(0), jnp.zeros(2)
        )
