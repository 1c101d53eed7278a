"""Linen nets of a user's own under the modes of training."""

import sys

import jax
import numpy as np
import pytest

from robust_jax import models
from robust_jax.models.user_nets import user_net

SOURCE = """
import flax.linen as nn
from flax import nnx

class Net(nn.Module):
    num_classes: int = 2
    width: int = 4

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dense(self.width)(x.reshape((x.shape[0], -1)))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)

class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(8, 3, rngs=rngs)

def fails(): raise RuntimeError("no")
"""
SHAPE, NAME = (2, 2, 2), "users_training_nets:Net"
X = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _nets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    (folder / "users_training_nets.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def net():
    return user_net(NAME, {"width": 6}, 3, SHAPE)


@pytest.fixture(scope="module")
def variables(net):
    return models.init(net, jax.random.key(0), SHAPE)


def test_it_is_the_users_net_in_inference(net, variables):
    inner = {name: tree["net"] for name, tree in variables.items()}
    expected = net.net.apply(inner, X, train=False)
    assert (net.net.num_classes, net.net.width) == (3, 6)
    logits, same = models.ApplyMode(net)(variables, X, "eval", jax.random.key(1))
    np.testing.assert_array_equal(logits, expected)
    assert same is variables
    np.testing.assert_allclose(net.apply(variables, X[0]), expected[0], rtol=1e-5)


def test_the_loss_moves_statistics_and_drops(net, variables):
    asked = models.ApplyMode(net)
    first, moved = asked(variables, X, "batch+update", jax.random.key(1))
    second, _ = asked(variables, X, "batch+update", jax.random.key(2))
    assert not np.array_equal(first, second)
    mean = moved["batch_stats"]["net"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.01 * X.mean(axis=(0, 1, 2)), rtol=1e-4)
    with pytest.raises(ValueError, match="whose statistics are Flax's own; expected"):
        asked(variables, X, "batch", jax.random.key(1))


@pytest.mark.parametrize(
    ("name", "classes", "said"),
    [
        ("Nnx", 3, "is an NNX module; expected one of Linen"),
        ("fails", 3, "fails .RuntimeError: no"),
        ("Nat", 3, "did you mean 'Net'"),
    ],
)
def test_what_cannot_be_trained(name, classes, said):
    with pytest.raises(ValueError, match=said):
        user_net(f"users_training_nets:{name}", {}, classes, SHAPE)
    with pytest.raises(ValueError, match=r"outputs of shape .2, 2. .* expected .2, 3."):
        user_net(NAME, {"num_classes": 2}, 3, SHAPE)
