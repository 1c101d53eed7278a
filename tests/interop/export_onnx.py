"""Writes nets as ONNX files, in a process that has jax2onnx and its older Orbax.

`python -m tests.interop.export_onnx FOLDER NAME...` writes FOLDER/NAME.onnx and
FOLDER/NAME.npz, images and the net's own logits of them, and says as JSON what
`to_onnx` gave, or said, of each.
"""

import json
import pathlib
import sys
import time
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import robust_jax as rj
from robust_jax.interop.onnx import writing

GRAY, COLOUR = (8, 8, 1), (8, 8, 3)


def of_ours(name, shape, **options):
    """One of our nets, whose every array is drawn, statistics too."""
    module = rj.models.by_name(name, **options)
    variables = rj.models.init(module, jax.random.key(0), shape)
    moved = np.random.default_rng(0)

    def draw(leaf):
        return leaf + moved.uniform(0, 0.1, leaf.shape).astype(np.float32)

    return rj.models.logits_fn(module, jax.tree.map(draw, variables)), shape


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.gelu(nn.Conv(4, (3, 3), strides=2)(x))
        x = nn.avg_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        return nn.Dense(3)(x.reshape(*x.shape[:-3], -1))


def of_linen():
    module = LinenNet()
    return rj.interop.from_linen(module, module.init(jax.random.key(1), jnp.ones(GRAY)))


class NnxNet(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dense = nnx.Linear(4 * 16, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.tanh(self.norm(self.conv(x)))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        return self.dense(x.reshape(*x.shape[:-3], -1))


def by_hand(x):
    weights = np.random.default_rng(2).normal(0, 1, (64, 3)).astype(np.float32)
    return jax.nn.log_softmax(jnp.tanh(x.ravel() - 0.5) @ weights)


def loop(x):
    def step(i, y):
        return jnp.tanh(2 * y) + offsets[i] + jnp.cumsum(y, 0) / 64

    offsets = jnp.arange(3.0)
    return jax.lax.fori_loop(0, 3, step, x.ravel())


def called_back(x):
    shape = jax.ShapeDtypeStruct((3,), jnp.float32)
    return jax.pure_callback(lambda x: np.ones(3, np.float32), shape, x)


NETS = {
    "fast_cnn": lambda: of_ours("fast_cnn", GRAY),
    "vit": lambda: of_ours("vit", COLOUR, width=8, depth=1, heads=2),
    "wide_resnet": lambda: of_ours("wide_resnet", COLOUR, depth=10, width=1),
    "preact_resnet18": lambda: of_ours("preact_resnet18", (32, 32, 3)),
    "linen": lambda: (of_linen(), GRAY),
    "nnx": lambda: (rj.interop.from_nnx(NnxNet()), COLOUR),
    "by_hand": lambda: (by_hand, GRAY),
    "loop": lambda: (loop, GRAY),
    "called_back": lambda: (called_back, GRAY),
    "failing": lambda: (lambda x: x @ jnp.ones((3, 2)), GRAY),
    "batch": lambda: (lambda x: x.reshape(2, -1), GRAY),
}


def export(name, folder):
    """What `to_onnx` gave, and the seconds that it took."""
    net, shape = NETS[name]()
    began = time.perf_counter()
    difference = rj.interop.to_onnx(net, jnp.zeros(shape), folder / f"{name}.onnx")
    seconds = time.perf_counter() - began
    images = np.random.default_rng(5).random((64, *shape), np.float32)
    np.savez(folder / f"{name}.npz", images=images, logits=jax.vmap(net)(images))
    return {"difference": difference, "seconds": seconds}


def unlike(folder):
    """What is said of a file that computes otherwise, over one that was there."""
    with mock.patch.object(writing, "relative_difference", lambda *given: 1e-3):
        return export("by_hand", folder)


def main():
    folder, told = pathlib.Path(sys.argv[1]), {}
    for name in sys.argv[2:]:
        try:
            told[name] = unlike(folder) if name == "unlike" else export(name, folder)
        except (ValueError, FileNotFoundError) as error:
            told[name] = {"error": str(error)}
    jnp.cumsum(jnp.ones((2, 2)), 1)  # As it was, in spite of jax2onnx.
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
