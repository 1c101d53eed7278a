"""Modules as functions: traces are counted, operations are counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.errors import InvalidRngError
from jax import lax

from robust_jax import models
from tests.models.weights import random_weights

SHAPE = (8, 8, 1)


def net(seed, **config):
    module = models.by_name("mlp", hidden=(4,), **config)  # A new object every time.
    return models.logits_fn(module, random_weights(module, SHAPE, seed))


def test_three_sets_of_weights_are_one_trace():
    traces = []

    @jax.jit
    def gradient(logits_fn, x):
        traces.append(x.shape)
        return jax.vmap(jax.grad(lambda x: logits_fn(x)[0]))(x)

    x = jax.random.uniform(jax.random.key(0), (3, *SHAPE))
    results = [gradient(net(seed), x) for seed in range(3)]
    assert len(traces) == 1
    assert not jnp.allclose(results[0], results[1])
    gradient(net(0, num_classes=5), x)  # Another configuration is another program.
    assert len(traces) == 2


class Drawn(nn.Module):
    """One parameter whose draw is cheap to compile."""

    @nn.compact
    def __call__(self, x):
        return x * self.param("scale", nn.initializers.uniform(), x.shape)


def test_init_draws_what_the_module_draws_for_the_key():
    one, again, other = (
        models.init(Drawn(), jax.random.key(i), (3,)) for i in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    flax = Drawn().init(jax.random.key(0), jnp.zeros(3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), one, flax)
    assert not jnp.allclose(one["params"]["scale"], other["params"]["scale"])


def test_options_reach_the_call():
    module = models.by_name("small_cnn", dropout=0.5)
    variables = random_weights(module, (16, 16, 1))
    x = jnp.ones((16, 16, 1))
    fn = models.logits_fn(module, variables, train=False)
    np.testing.assert_array_equal(fn(x), module.apply(variables, x))
    with pytest.raises(InvalidRngError, match="dropout"):  # Training needs its key.
        models.logits_fn(module, variables, train=True)(x)


def test_dropout_draws_in_every_mode_but_evaluation():
    module = models.by_name("small_cnn", dropout=0.5)
    variables, x = random_weights(module, (16, 16, 1)), jnp.ones((1, 16, 16, 1))
    apply_fn, clean = models.ApplyMode(module), module.apply(variables, x)
    for mode in ("eval", "frozen", "batch"):
        without, _ = apply_fn(variables, x, mode)
        drawn, _ = apply_fn(variables, x, mode, jax.random.key(1))
        np.testing.assert_array_equal(without, clean)
        assert jnp.array_equal(drawn, clean) == (mode == "eval")


def test_unhashable_modules_are_refused():
    module = models.MLP(hidden=[3])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="module=MLP; expected hashable"):
        models.logits_fn(module, {})


class Recurrent(nn.Module):
    """Three rounds of one dense layer, a choice, a grouped convolution."""

    rounds: int | None = 3

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.ones, (4, 4))
        if self.rounds is None:
            return lax.while_loop(lambda x: x[0] < 9, lambda x: x @ kernel + 1, x)
        x = lax.fori_loop(0, self.rounds, lambda _, x: x @ kernel, x)
        x = lax.cond(x[0] > 0, lambda x: x @ kernel, lambda x: x @ kernel @ kernel, x)
        grouped = nn.Conv(8, (3,), feature_group_count=4, use_bias=False)
        return grouped(x.reshape(1, 4)).ravel()


@pytest.mark.parametrize(
    ("module", "shape", "multiply_adds"),
    [
        (models.MLP(num_classes=10), (28, 28, 1), 784 * 100 + 100 * 100 + 100 * 10),
        (
            models.FastCNN(num_classes=10),
            (28, 28, 1),
            14 * 14 * 16 * 16 + 7 * 7 * 32 * 4 * 4 * 16 + 1568 * 100 + 100 * 10,
        ),
        (
            models.DigitsCNN(num_classes=10),
            (8, 8, 1),
            8 * 8 * 32 * 9 + 4 * 4 * 64 * 9 * 32 + 1024 * 128 + 128 * 10,
        ),
        (Recurrent(), (4,), (3 + 2) * 16 + 8 * 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_flops_are_those_counted_by_hand(module, shape, multiply_adds):
    assert models.flops(module, shape) == 2 * multiply_adds


def test_flops_refuse_an_open_loop():
    with pytest.raises(ValueError, match="fixed number of rounds"):
        models.flops(Recurrent(rounds=None), (4,))


class _Normalised(nn.Module):
    """A net with batch statistics."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(x)


def test_batch_statistics_are_refused_rather_than_ignored():
    module, x = _Normalised(), jnp.ones((2, 4))
    variables = module.init(jax.random.key(0), x)
    apply_fn = models.ApplyMode(module)
    logits, same = apply_fn(variables, x, "eval")
    assert logits.shape == (2, 3) and same is variables
    for mode in ("batch", "batch+update", "frozen"):
        with pytest.raises(ValueError, match=r"for _Normalised, whose call takes no"):
            apply_fn(variables, x, mode, jax.random.key(1))
