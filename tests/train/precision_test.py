"""bfloat16 inside, float32 outside."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import models
from robust_jax.train.precision import InBfloat16


class Small(nn.Module):
    """Convolutions and a normalisation, as residual nets have them."""

    @nn.compact
    def __call__(self, x, mode="eval"):
        for _ in range(2):
            x = models.Conv(8, (3, 3), use_bias=False)(x)
            x = nn.relu(models.BatchNorm()(x, mode))
        return nn.Dense(10)(x.mean(axis=(-3, -2)))


def test_the_net_computes_in_bfloat16_and_gives_float32():
    module = Small()
    exact = models.ApplyMode(module)
    rounded = InBfloat16(exact)
    variables = models.init(module, jax.random.key(0), (8, 8, 1))
    images = jax.random.uniform(jax.random.key(1), (16, 8, 8, 1))

    def run(apply_fn):
        def loss(params, images):
            logits, after = apply_fn(
                {**variables, "params": params}, images, "batch+update"
            )
            return jnp.mean(logits[:, 0] ** 2), (logits, after)

        gradient = jax.value_and_grad(loss, (0, 1), has_aux=True)
        return jax.jit(gradient)(variables["params"], images)

    (_, (logits, after)), grads = run(rounded)
    (_, (expected, moved)), _ = run(exact)
    for leaf in jax.tree.leaves((logits, after, grads)):
        assert leaf.dtype == jnp.float32
    gap = np.abs(logits - expected).max() / np.abs(expected).max()
    assert 1e-4 < gap < 0.1  # bfloat16 has 8 bits.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=0.02),
        after["batch_stats"],
        moved["batch_stats"],
    )
    jax.tree.map(np.testing.assert_array_equal, after["params"], variables["params"])
    program = jax.jit(rounded, static_argnums=2).lower(variables, images, "eval")
    convolutions = [
        line for line in program.as_text().splitlines() if "convolution(" in line
    ]
    assert convolutions and all("bf16" in line for line in convolutions)
