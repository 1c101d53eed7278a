"""Flax Linen modules as logit functions."""

from collections.abc import Mapping
from typing import Any

from jax.tree_util import Partial

from robust_jax.core import checks, extras, origin
from robust_jax.core.layout import declared
from robust_jax.core.origin import Layout


def from_linen(
    module: Any, variables: Any, *, layout: Layout | None = None, **options: Any
) -> Partial:
    """A Linen module and its variables as one function of x, a pytree.

    The module's own defaults decide about dropout and batch statistics: pass what makes
    yours deterministic, such as train=False. A module that needs a batch axis goes
    through `per_example`.
    Guarantees: new weights do not retrace; equal modules count as one.

    Args:
        module: a `flax.linen.Module`.
        variables: its collections, {"params": ..., "batch_stats": ...}.
        layout: of the images that it takes, "HWC" or "CHW"; see `channels_first`.
        options: constant keyword arguments of the module's call.
    Returns: what the module takes to logits.
    Raises: TypeError: what is no module, no collections. ValueError: a module with
        attributes that cannot be compared, such as lists; another layout.
    """
    nn = extras.needed("flax.linen", "flax", "interop.from_linen")
    from robust_jax.models.functional import logits_fn  # Loads Flax.

    checks.instance("module", module, nn.Module, "a module of flax.linen")
    checks.instance("variables", variables, Mapping, "its collections, {'params': ...}")
    how = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()))
    mode = f"with {how}" if how else "by its defaults"
    said = origin.said_of("Linen", type(module), layout, mode)
    return declared(logits_fn(module, variables, **options), said)
