"""Foreign Linen modules as logit functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import robust_jax as rj
from robust_jax.interop import from_linen, per_example


class Net(nn.Module):
    """Insists on a batch axis and has a mode."""

    features: int = 6

    @nn.compact
    def __call__(self, x, train=True):
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(self.features)(x))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(x)


def variables_of(module, seed):
    rng = np.random.default_rng(seed)
    key, x = jax.random.key(0), jnp.zeros((2, 4, 4, 1))
    shapes = jax.eval_shape(module.init, key, x)
    return jax.tree.map(lambda s: jnp.asarray(rng.uniform(0.5, 1, s.shape)), shapes)


def test_batch_nets_one_by_one_without_retracing():
    traces = []

    @jax.jit
    def gradients(logits_fn, x):
        traces.append(None)
        return jax.vmap(jax.grad(lambda x: logits_fn(x)[0]))(x)

    x = jax.random.normal(jax.random.key(0), (5, 4, 4, 1))
    together = jax.jit(
        jax.grad(lambda x, v: Net().apply(v, x, train=False)[:, 0].sum())
    )
    for seed in range(3):
        variables = variables_of(Net(), seed)
        logits_fn = per_example(from_linen(Net(), variables, train=False))
        expected = together(x, variables)
        np.testing.assert_allclose(gradients(logits_fn, x), expected, atol=1e-5)
    assert len(traces) == 1
    gradients(per_example(from_linen(Net(7), variables_of(Net(7), 0), train=False)), x)
    assert len(traces) == 2


class Dropped(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not train)(x))


def test_a_net_in_training_mode_gets_one_sentence():
    images, labels = np.full((2, 4, 4, 1), 0.5, np.float32), np.zeros(2, int)
    variables = variables_of(Net(), 0)
    dropped = Dropped().init(jax.random.key(0), images[0, 0, 0], False)
    bare = {"params": variables["params"]}
    for said, model, x in (
        ("as in training; pass .* train=False", from_linen(Net(), variables), images),
        ("pass all its variables", from_linen(Net(), bare, train=False), images),
        ("as in training", from_linen(Dropped(), dropped), images[:, 0, 0]),
    ):
        model = per_example(model)
        with pytest.raises(ValueError, match=said):
            rj.attack("fgsm", model, x, labels, rj.threats.Linf(0.1))


def test_plain_functions_of_a_batch():
    weights = jnp.arange(6.0).reshape(2, 3)
    logits_fn = per_example(lambda x: x @ weights)
    x = jnp.array([1.0, -1.0])
    np.testing.assert_array_equal(logits_fn(x), x @ weights)
    jitted = jax.jit(lambda f, x: f(x))  # Takes it as an argument.
    np.testing.assert_allclose(jitted(logits_fn, x), x @ weights)


def test_modules_that_cannot_be_compared():
    module = nn.Sequential([nn.Dense(3)])
    with pytest.raises(ValueError, match="module=Sequential; expected hashable"):
        from_linen(module, {})
