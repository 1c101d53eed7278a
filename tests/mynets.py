"""What docs/bring-your-model.md calls mynets: small nets of 8x8 digits."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import torch
from flax import nnx


class Residual(nnx.Module):
    """NNX, of batches [B, H, W, C], with batch normalisation."""

    def __init__(self, rngs):
        self.first = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.second = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.out = nnx.Linear(4, 10, rngs=rngs)

    def __call__(self, x):
        x = self.first(x)
        x = x + self.second(nnx.relu(self.norm(x)))
        return self.out(x.mean((1, 2)))


class Linen(nn.Module):
    """Linen, of examples or batches, with dropout."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Conv(4, (3, 3))(x)).mean((-3, -2))
        return nn.Dense(10)(nn.Dropout(0.5, deterministic=not train)(x))


class Equinox(eqx.Module):
    """Equinox, of one example [C, H, W]."""

    conv: eqx.nn.Conv2d
    out: eqx.nn.Linear

    def __init__(self, key):
        first, second = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(1, 4, 3, padding=1, key=first)
        self.out = eqx.nn.Linear(4, 10, key=second)

    def __call__(self, x):
        return self.out(jax.nn.relu(self.conv(x)).mean((1, 2)))


class Torch(torch.nn.Module):
    """PyTorch, of batches [B, C, H, W], with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.out = torch.nn.Linear(4, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return self.out(x.mean((2, 3)))


def plain(x):
    """Plain JAX, of one example [H, W, C] in [-1, 1]."""
    kernel = jnp.linspace(-1, 1, 640).reshape(64, 10) ** 3
    return x.ravel() @ kernel
