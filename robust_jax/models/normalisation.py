"""Batch normalisation whose mode is an argument, for batches and single examples."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from robust_jax.core.types import Array

AXIS = "batch"  # The name of the axis over which single examples are a batch.
BatchMode = Literal["eval", "batch", "batch+update", "frozen"]


class BatchNorm(nn.Module):
    """Channels at zero mean and unit variance, then a scale and a bias of their own.

    Modes: "eval" and "frozen" take the running statistics; "batch" takes those of this
    batch; "batch+update" also moves the running ones towards them. On single examples
    [H, W, C] the batch is `vmap`'s axis "batch"; value and gradient are those of one
    call with all examples. Statistics are float32 whatever the images are.

    Args:
        momentum: share of the running statistics that stays, per update.
        epsilon: added to the variance.
        ghost: examples that share statistics; 0 is the whole batch. Batches only.
    References: Ioffe & Szegedy, ICML 2015. As PyTorch has it: the running variance is
        the unbiased one. Ghost: Hoffer et al., NeurIPS 2017.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    ghost: int = 0

    @nn.compact
    def __call__(self, x: Array, mode: BatchMode = "eval") -> Array:
        """The normalised images, shape [*B, H, W, C] kept.

        Raises: ValueError: a batch mode on one example without `vmap`'s axis; a ghost
            size that does not divide the batch.
        """
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if mode in ("eval", "frozen"):
            return self._normal(x, mean.value, var.value, scale, bias)
        groups = self._groups(x)
        now, spread, count = _statistics(groups)
        if mode == "batch+update":
            unbiased = spread * (count / max(count - 1, 1))
            for running, new in ((mean, now), (var, unbiased)):
                new = jnp.mean(new, axis=tuple(range(new.ndim - 1)))
                running.value += (1 - self.momentum) * (new - running.value)
        return self._normal(groups, now, spread, scale, bias).reshape(x.shape)

    def _groups(self, x: Array) -> Array:
        """The images by groups that share statistics; [G, N, H, W, C] if ghost."""
        if not self.ghost or x.ndim < 4:
            return x
        count = x.size // (x.shape[-3] * x.shape[-2] * x.shape[-1])
        if count % self.ghost:
            raise ValueError(
                f"ghost={self.ghost} does not divide a batch of {count}; expected a "
                "divisor"
            )
        return x.reshape(count // self.ghost, self.ghost, *x.shape[-3:])

    def _normal(
        self, x: Array, mean: Array, var: Array, scale: Array, bias: Array
    ) -> Array:
        factor = jax.lax.rsqrt(var + self.epsilon) * scale
        shift = bias - mean * factor
        return (x * factor + shift).astype(x.dtype)


def _statistics(x: Array) -> tuple[Array, Array, int]:
    """Mean and biased variance per channel, of how many values each.

    Of [G, N, H, W, C] with groups they are [G, 1, 1, 1, C].
    """
    is_grouped, x = x.ndim == 5, x.astype(jnp.float32)
    axes = tuple(range(1 if is_grouped else 0, x.ndim - 1))
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    if x.ndim > 3:
        mean = jnp.mean(x, axes, keepdims=is_grouped)
        return mean, jnp.mean((x - mean) ** 2, axes, keepdims=is_grouped), count
    try:
        count *= jax.lax.axis_size(AXIS)
    except NameError as error:
        raise ValueError(
            f"x.shape={x.shape}; batch statistics of one example; expected a batch, or "
            f'jax.vmap(..., axis_name="{AXIS}")'
        ) from error
    mean = jax.lax.pmean(jnp.mean(x, axes), AXIS)
    return mean, jax.lax.pmean(jnp.mean((x - mean) ** 2, axes), AXIS), count
