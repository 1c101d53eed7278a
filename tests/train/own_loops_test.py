from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import robust_jax as rj
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted

ATTACK, THREAT = rj.attacks.pgd(2, 0.5), rj.threats.Linf(0.1)
X = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
BATCH = {
    "image": jnp.asarray(X),
    "label": jnp.array([0, 1, 1, 0]),
    "weight": jnp.ones(4),
}
W = jnp.array([[1.0, -1.0], [0.5, 0.2], [-2.0, 1.0]])
KEY = jax.random.key(3)


def net(params, x, *rest):
    return x @ params


def loss_fn(params, batch, key, *rest):
    noise = 0.1 * jax.random.normal(key, (2,))
    return cross_entropy(batch["image"] @ params + noise, batch["label"])


def cross_entropy(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def robust_loss(threat=THREAT, **options):
    options = {"logits_fn": net, **options}
    return rj.train.adversarial_loss(loss_fn, ATTACK, threat, **options)


def test_it_is_the_loss_at_what_the_attack_makes_of_the_weights_held_fixed():
    attack_key, loss_key = jax.random.split(KEY)
    run = lift.over_examples(drive.last_iterate(ATTACK))
    one = lambda x: x @ W  # noqa: E731
    goal = Untargeted(BATCH["label"])
    x_adv = run(jax.random.split(attack_key, 4), one, THREAT, BATCH["image"], goal)
    assert np.abs(x_adv - X).max() > 0.09
    wanted = jax.value_and_grad(loss_fn)(W, {**BATCH, "image": x_adv}, loss_key)
    found = jax.jit(jax.value_and_grad(robust_loss()))(W, BATCH, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted
    )


def test_without_a_radius_it_is_the_loss():
    wanted = loss_fn(W, BATCH, jax.random.split(KEY)[1])
    assert robust_loss(rj.threats.Linf(0.0))(W, BATCH, KEY) == wanted


class Named(NamedTuple):
    pixels: jax.Array
    truth: jax.Array


@pytest.mark.parametrize("kind", [tuple, list, Named._make])
def test_batches_are_tuples_too(kind):
    def of_pair(params, batch, key):
        assert type(batch) is type(given)
        return loss_fn(params, {"image": batch[0], "label": batch[1]}, key)

    given = kind((BATCH["image"], BATCH["label"]))
    loss = rj.train.adversarial_loss(of_pair, ATTACK, THREAT, logits_fn=net)
    assert loss(W, given, KEY) == robust_loss()(W, BATCH, KEY)


def test_raw_keys_and_what_comes_behind_the_key_pass():
    def with_aux(params, batch, key, shift):
        return loss_fn(params, batch, key), shift

    def shifted(params, x, shift):
        return x @ params + shift

    loss = rj.train.adversarial_loss(with_aux, ATTACK, THREAT, logits_fn=shifted)
    value, aux = loss(W, BATCH, jax.random.PRNGKey(3), jnp.ones(2))
    assert value > loss_fn(W, BATCH, KEY) - 1 and (aux == 1).all()


class Net(nnx.Module):
    def __init__(self):
        self.linear = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        self.norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.norm(self.linear(x))


def test_of_a_module_only_the_loss_moves_the_statistics():
    asked = []

    def of_module(model, batch, key):
        asked.append(batch["image"])
        return cross_entropy(model(batch["image"]), batch["label"])

    loss = rj.train.adversarial_loss(of_module, ATTACK, THREAT)
    attacked, plain = Net(), Net()
    nnx.value_and_grad(loss)(attacked, BATCH, KEY)
    plain(asked[0])
    np.testing.assert_allclose(attacked.norm.mean[...], plain.norm.mean[...], rtol=1e-6)
    assert np.abs(attacked.norm.mean[...]).max() > 0
    assert not attacked.norm.use_running_average


@pytest.mark.parametrize(
    ("make", "batch", "error", "said"),
    [
        (robust_loss, BATCH["image"], TypeError, "batch of type ArrayImpl; expected a"),
        (
            lambda: robust_loss(images="pixels"),
            BATCH,
            ValueError,
            "images='pixels'; expected where the batch has them, one of 'image', ",
        ),
        (
            robust_loss,
            {**BATCH, "image": np.zeros((4, 3), np.uint8)},
            TypeError,
            "images are uint8; expected floats in the threat's box; divide by 255",
        ),
        (
            robust_loss,
            {**BATCH, "label": np.zeros((4, 2), int)},
            ValueError,
            r"images of shape \(4, 3\) and labels of shape \(4, 2\); expected ",
        ),
        (
            robust_loss,
            {**BATCH, "label": np.zeros(4, np.float32)},
            TypeError,
            "labels are float32; expected class numbers",
        ),
        (
            lambda: robust_loss(logits_fn=None),
            BATCH,
            TypeError,
            "logits_fn=None, and params is ArrayImpl; expected a module of NNX or",
        ),
        (lambda: robust_loss(logits_fn=3), BATCH, TypeError, "logits_fn=3"),
        (
            lambda: rj.train.adversarial_loss(
                loss_fn, rj.attacks.square(5), THREAT, logits_fn=net
            ),
            BATCH,
            ValueError,
            r"attack=square\(.*; expected one whose state has an iterate",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(make, batch, error, said):
    with pytest.raises(error, match=said):
        make()(W, batch, KEY)
