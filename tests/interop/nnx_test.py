"""NNX modules as logit functions; the Linen net with the same weights is the oracle."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn, nnx

from robust_jax.interop import from_linen, from_nnx


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        x = nn.BatchNorm(use_running_average=True)(x)
        return nn.Dense(3)(x.reshape(*x.shape[:-3], -1))


class Net(nnx.Module):
    def __init__(self, seed, classes=3):
        rngs = nnx.Rngs(seed)
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(64, classes, rngs=rngs)

    def __call__(self, x):
        x = self.norm(nnx.relu(self.conv(x)))
        return self.dense(self.dropout(x.reshape(*x.shape[:-3], -1)))


def net(seed, classes=3):
    """A net whose every array is drawn by NumPy, running statistics too."""
    module = nnx.eval_shape(lambda: Net(0, classes))
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(rng.uniform(0.5, 1.0, leaf.shape), leaf.dtype)
        return jax.random.key(0) if leaf.dtype != jnp.uint32 else jnp.uint32(0)

    graphdef, state = nnx.split(module)
    return nnx.merge(graphdef, jax.tree.map(draw, state))


def linen_variables(module):
    return {
        "params": {
            "Conv_0": {
                "kernel": module.conv.kernel[...],
                "bias": module.conv.bias[...],
            },
            "BatchNorm_0": {
                "scale": module.norm.scale[...],
                "bias": module.norm.bias[...],
            },
            "Dense_0": {
                "kernel": module.dense.kernel[...],
                "bias": module.dense.bias[...],
            },
        },
        "batch_stats": {
            "BatchNorm_0": {"mean": module.norm.mean[...], "var": module.norm.var[...]}
        },
    }


@jax.jit
def logits_and_gradients(logits_fn, x):
    def worst(x):
        logits = logits_fn(x)
        return jnp.sum(logits**2), logits

    gradients, logits = jax.vmap(jax.grad(worst, has_aux=True))(x)
    return logits, gradients


X = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)


@pytest.mark.parametrize("graph", [True, False], ids=["graph mode", "tree mode"])
def test_the_same_weights_give_the_same_logits_and_gradients_as_linen(graph):
    with nnx.set_graph_mode(graph):
        module = net(0)
        ours = logits_and_gradients(from_nnx(module), X)
    linen = from_linen(LinenNet(), linen_variables(module))
    for got, want in zip(ours, logits_and_gradients(linen, X), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_new_weights_do_not_retrace():
    traces = []

    @jax.jit
    def logits(logits_fn, x):
        traces.append(None)
        return logits_fn(x)

    results = [logits(from_nnx(net(seed)), X[0]) for seed in range(3)]
    assert len(traces) == 1
    assert not jnp.allclose(results[0], results[1])
    assert logits(from_nnx(net(0, classes=4)), X[0]).shape == (4,)
    assert len(traces) == 2


def test_the_module_stays_as_it_is():
    module = net(0)
    module.train()
    before = jax.tree.leaves(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))
    logits_fn = from_nnx(module)
    logits = logits_fn(X[0])
    assert not module.norm.use_running_average
    assert not module.dropout.deterministic
    after = jax.tree.leaves(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    module.dense.bias[...] = module.dense.bias[...] + 1  # Reaches the module alone.
    np.testing.assert_array_equal(logits_fn(X[0]), logits)


class Counting(nnx.Module):
    """Changes itself whenever it is called."""

    def __init__(self):
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x):
        self.calls[...] = self.calls[...] + 1
        return x * self.calls[...]


def test_a_module_that_changes_itself_is_a_function_still():
    logits_fn = from_nnx(Counting())
    for _ in range(2):
        _, gradients = logits_and_gradients(logits_fn, X)
        np.testing.assert_allclose(gradients, 2 * X, rtol=1e-6)


def test_flax_loads_on_use_only():
    code = "import sys, robust_jax.interop; sys.exit('flax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
