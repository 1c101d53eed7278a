"""Gradients estimated from scores: right on average, and better with more samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks import gradients
from robust_jax.attacks.gradients import estimates
from robust_jax.attacks.gradients.bandits import bandit
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks.programs import to_the_end as program

SHAPE = (4, 3, 2)
ESTIMATES = {"spsa": estimates.spsa, "nes": estimates.nes}


def query(model, x, key=None, threat=None):
    def climb(logits):
        return logits[0] - logits[1]

    key = jax.random.key(0) if key is None else key
    return gradients.Query(key, model, threat or threats.Linf(0.1), climb, x)


def squared_errors(estimator, model, x, repeats):
    """Of `repeats` independent estimates, their mean."""
    true = jax.grad(lambda z: query(model, z).climb(model(z)))(x)
    keys = jax.random.split(jax.random.key(1), repeats)
    looks = jax.vmap(lambda k: estimator.estimate(query(model, x, k), ())[0].grad)
    seen = jax.jit(looks)(keys)
    return float(((seen - true) ** 2).sum((1, 2, 3)).mean())


@pytest.mark.parametrize("name", list(ESTIMATES))
def test_the_error_falls_with_the_published_rate(name):
    """Squared error over samples: a slope of -1 in the log-log fit."""
    model = victims.two_layer_victim(SHAPE, 3)
    x = jnp.asarray(victims.inputs(SHAPE, 1)[0])
    counts = np.array([4, 32, 256])
    errors = [squared_errors(ESTIMATES[name](int(n)), model, x, 64) for n in counts]
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("name", list(ESTIMATES))
def test_the_error_is_that_of_the_theory(name):
    """On a linear model (d - 1) |g|^2 / n for signs, (d + 1) |g|^2 / n for normals."""
    model = victims.affine_victim(SHAPE, 2)
    x, samples = jnp.full(SHAPE, 0.5), 8
    size = int(np.prod(SHAPE))
    normal = model.args[0][0] - model.args[0][1]
    factor = size - 1 if name == "spsa" else size + 1
    expected = factor * float((normal**2).sum()) / samples
    error = squared_errors(ESTIMATES[name](samples, 0.01), model, x, 2_000)
    assert error == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_bandit_learns_the_gradient_of_an_affine_model(norm):
    """Looked at from one point again and again, its prior turns to the gradient."""
    model = victims.affine_victim(SHAPE, 2)
    x, rate = jnp.full(SHAPE, 0.5), 0.03 if norm == "linf" else 0.1
    normal = (model.args[0][0] - model.args[0][1]).reshape(SHAPE)
    estimator = bandit(side=4, rate=rate)

    def estimate(memory, key):
        seen, memory = estimator.estimate(
            query(model, x, key, threats.by_name(norm)(0.1)), memory
        )
        cosine = jnp.sum(seen.grad * normal)
        cosine /= jnp.linalg.norm(seen.grad) * jnp.linalg.norm(normal) + 1e-30
        return memory, cosine

    keys = jax.random.split(jax.random.key(0), 600)
    memory, cosines = jax.lax.scan(estimate, estimator.init(x), keys)
    assert abs(cosines[0]) < 0.9 and cosines[-1] > 0.9
    if norm == "linf":
        assert (jnp.abs(memory.grad) <= 1).all()


def test_a_prior_on_blocks_moves_their_pixels_alike():
    model = victims.affine_victim((6, 6, 1), 2)
    estimator = bandit(side=2)
    x = jnp.full((6, 6, 1), 0.5)
    here = query(model, x, threat=threats.L2(1.0))
    seen, memory = estimator.estimate(here, estimator.init(x))
    assert memory.grad.shape == (2, 2, 1)
    blocks = np.asarray(seen.grad).reshape(2, 3, 2, 3)
    assert (blocks == blocks[:, :1, :, :1]).all() and len(np.unique(blocks)) == 4


@pytest.mark.parametrize(
    ("attack", "share"),
    [
        (attacks.spsa(30, samples=24), 0.9),
        (attacks.nes(30, samples=24), 0.9),
        (attacks.bandits(400), 0.5),  # A prior of two differences a step is noisy.,
    ],
)
def test_reaches_nearly_what_the_gradient_reaches(attack, share):
    """On an affine model the best margin is known: eps times the L1 norm more."""
    weights = victims.affine_victim(SHAPE, 2).args[0]
    model = Partial(victims.affine, weights, -weights @ jnp.full(24, 0.5))
    images = victims.inputs(SHAPE, 6, low=0.2, high=0.8)
    labels = victims.predicted(model, images)
    run = lift.over_examples(drive.run(attack, to_the_end=True))
    keys = lift.item_keys(0, np.arange(6, dtype=np.uint64))
    threat = threats.Linf(0.1)
    result = jax.jit(run)(keys, model, threat, images, Untargeted(labels))
    gain = 0.1 * float(jnp.abs(weights[0] - weights[1]).sum())
    before = jax.vmap(lambda x, y: objectives.margin(model(x), Untargeted(y)))
    reached = (result.margin - before(images, labels)) / gain
    assert (reached > share).all() and (reached < 1 + 1e-4).all()
    assert (result.backwards == 0).all()


def test_any_attack_becomes_black_box_by_an_estimate():
    """The model's derivative is never asked for: it does not have one."""
    weights = np.array([[1.0, -2.0], [-1.0, 0.5]], np.float32)

    def on_the_host(x):
        return (x @ weights.T).astype(np.float32)

    def model(x):
        shape = jax.ShapeDtypeStruct((2,), jnp.float32)
        return jax.pure_callback(on_the_host, shape, x, vmap_method="broadcast_all")

    attack = attacks.pgd(10, 0.3, gradient=estimates.nes(8, 0.01))
    keys = lift.item_keys(0, np.arange(3, dtype=np.uint64))
    images = np.full((3, 2), 0.4, np.float32)
    goal = Untargeted(np.ones(3, np.int32))
    result = program(attack)(keys, Partial(model), threats.Linf(0.4), images, goal)
    assert (result.margin >= 0).all() and (result.backwards == 0).all()


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: estimates.spsa(0), "samples=0"),
        (lambda: estimates.spsa(1, -0.1), "delta=-0.1"),
        (lambda: estimates.nes(1, 0.0), "sigma=0"),
        (lambda: bandit(exploration=0.0), "exploration=0"),
        (lambda: bandit(width=0.0), "width=0"),
        (lambda: bandit(rate=-1.0), "rate=-1"),
        (lambda: bandit(side=0), "side=0"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises(ValueError, match=part):
        call()
