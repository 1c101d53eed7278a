"""Mixed precision: the net computes in bfloat16, all that is kept is float32."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array, Key
from robust_jax.models import BatchMode
from robust_jax.train.state import ApplyFn


@dataclasses.dataclass(frozen=True)
class InBfloat16:
    """A net whose weights and pixels are rounded to bfloat16 on their way in.

    Logits, gradients, statistics and the attack's points stay float32: bfloat16 has
    float32's range, so that no loss has to be scaled.
    """

    apply_fn: ApplyFn

    def __call__(
        self, variables: Any, images: Array, mode: BatchMode, key: Key | None = None
    ) -> tuple[Array, Any]:
        """Logits [*B, K] float32, and the variables with new statistics."""
        rounded = {**variables, "params": _as(jnp.bfloat16, variables["params"])}
        images = images.astype(jnp.bfloat16)
        logits, after = self.apply_fn(rounded, images, mode, key)
        kept = {name: part for name, part in after.items() if name != "params"}
        return logits.astype(jnp.float32), {**variables, **_as(jnp.float32, kept)}


def _as(dtype: Any, tree: Any) -> Any:
    return jax.tree.map(
        lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree
    )
