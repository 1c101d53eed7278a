"""Training objectives beside losses computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, models, threats, train
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.train import helpers
from robust_jax.train.state import Batch
from tests import victims

B, SHAPE = 12, (3, 2, 1)
NET = models.by_name("mlp", num_classes=4, hidden=(8,))
APPLY = models.ApplyMode(NET)
ATTACK = attacks.pgd(3, 0.5)
STEP = jnp.asarray(7, jnp.int32)


def problem():
    variables = models.init(NET, jax.random.key(0), SHAPE)
    images = jnp.asarray(victims.inputs(SHAPE, B, seed=1))
    labels = jnp.arange(B, dtype=jnp.int32) % 4
    return variables, Batch(images, labels, jnp.arange(B) + 100)


def by_hand(logits, labels):
    """Mean cross entropy and accuracy in float64."""
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    log_norm = np.log(np.exp(logits).sum(1))
    own = logits[np.arange(len(labels)), labels]
    return (log_norm - own).mean(), (logits.argmax(1) == labels).mean()


def perturbed(variables, batch, key, threat):
    """What the net is fed: keys by position, the attack's last iterate."""
    keys = jnp.stack([jax.random.fold_in(key, p) for p in batch.positions])
    model = jax.tree_util.Partial(NET.apply, variables)
    attack = lift.over_examples(drive.last_iterate(ATTACK))
    return attack(keys, model, threat, batch.images, Untargeted(batch.labels))


def test_a_tie_is_no_right_answer():
    logits = jnp.array([[2.0, 1, 2], [2, 1, 1.9], [1, 2, 3], [0, 0, 0]])
    assert helpers.accuracy(logits, jnp.array([0, 0, 0, 0])) == 0.25


def test_standard_is_mean_cross_entropy():
    variables, batch = problem()
    loss, aux = train.standard(APPLY)(variables, batch, None, STEP)
    expected, accuracy = by_hand(NET.apply(variables, batch.images), batch.labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["accuracy"], accuracy, rtol=1e-6)
    assert 0 < accuracy < 1


def test_adversarial_at_eps_zero_is_standard_and_grows_with_eps():
    variables, batch = problem()
    radii = jnp.array([0.0, 0.05, 0.2])
    objective = train.adversarial(APPLY, ATTACK, lambda step: threats.Linf(radii[step]))
    losses = [
        jax.jit(objective)(variables, batch, jax.random.key(0), jnp.asarray(k))[0]
        for k in range(3)
    ]
    clean, _ = train.standard(APPLY)(variables, batch, None, STEP)
    np.testing.assert_allclose(losses[0], clean, rtol=1e-6)
    assert losses[0] + 1e-3 < losses[1] < losses[2] - 1e-3


# In Linf the sign hides a gradient through the attack; in L2 it would be seen.
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_loss_and_gradient_are_those_of_constant_adversarial_images(norm):
    variables, batch = problem()
    threat, key = threats.by_name(norm)(0.3), jax.random.key(5)
    objective = train.adversarial(APPLY, ATTACK, lambda step: threat)

    @jax.jit
    def ours(variables, batch):
        gradient = jax.value_and_grad(objective, has_aux=True)
        return gradient(variables, batch, key, STEP), perturbed(
            variables, batch, key, threat
        )

    ((loss, aux), grads), x_adv = ours(variables, batch)
    expected, accuracy = by_hand(NET.apply(variables, x_adv), batch.labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(aux.metrics["accuracy"], accuracy, rtol=1e-6)
    np.testing.assert_allclose(aux.attacked, x_adv, atol=1e-6)
    constant = batch._replace(images=x_adv)
    held = jax.grad(lambda v: train.standard(APPLY)(v, constant, None, STEP)[0])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grads, held(variables)
    )


def test_keys_belong_to_examples_not_to_places():
    variables, batch = problem()
    objective = jax.jit(
        train.adversarial(APPLY, ATTACK, lambda step: threats.Linf(0.2))
    )
    order = np.random.default_rng(0).permutation(B)
    permuted = jax.tree.map(lambda a: a[order], batch)
    shifted = batch._replace(positions=batch.positions + 1)
    key = jax.random.key(1)
    one, same, other, another = (
        float(objective(variables, *given, STEP)[0])
        for given in (
            (batch, key),
            (permuted, key),
            (shifted, key),
            (batch, jax.random.key(2)),
        )
    )
    np.testing.assert_allclose(same, one, rtol=1e-6)
    assert abs(other - one) > 1e-5 and abs(another - one) > 1e-5
