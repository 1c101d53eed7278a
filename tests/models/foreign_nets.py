"""Nets as somebody outside of the library writes them."""

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx


class Dense(nn.Module):
    """Flattens batches, and normalises by batch statistics unless told not to."""

    classes: int = 4
    hidden: tuple[int, ...] = (3,)
    slope: float = 0.0

    @nn.compact
    def __call__(self, x, train: bool = True):
        x = x.reshape(x.shape[0], -1)
        for features in self.hidden:
            x = nn.BatchNorm(use_running_average=not train)(nn.Dense(features)(x))
            x = nn.leaky_relu(x, self.slope)
        return nn.Dense(self.classes)(x)


class Layers(nnx.Module):
    """The same in NNX, with layers by number and dropout."""

    def __init__(self, width: int = 3, scale: float = 1.0, *, rngs: nnx.Rngs):
        shapes = ((36, width), (width, 4))
        layers = (nnx.Linear(*shape, rngs=rngs) for shape in shapes)
        self.layers = nnx.List(layers)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.scale = scale

    def __call__(self, x):
        x = self.norm(self.layers[0](x.reshape(x.shape[0], -1)))
        return self.scale * self.layers[1](self.dropout(nnx.relu(x)))


class Summed(nn.Module):
    """One number for the whole batch."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(jnp.ravel(x))[0]


def dense(**config):
    return Dense(**config)


def failing():
    raise RuntimeError("no\nluck")


def function():
    return lambda x: x


DEPTH = 3
