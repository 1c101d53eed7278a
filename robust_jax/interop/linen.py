"""Flax Linen modules as logit functions."""

from collections.abc import Mapping
from typing import Any

from jax.tree_util import Partial

from robust_jax.core import checks


def from_linen(module: Any, variables: Any, **options: Any) -> Partial:
    """A Linen module and its variables as one function of x, a pytree.

    The module's own defaults decide about dropout and batch statistics: pass what makes
    yours deterministic, such as train=False. A module that needs a batch axis goes
    through `per_example`.
    Guarantees: new weights do not retrace; equal modules count as one.

    Args:
        module: a `flax.linen.Module`.
        variables: its collections, {"params": ..., "batch_stats": ...}.
        options: constant keyword arguments of the module's call.
    Returns: what the module takes to logits.
    Raises: TypeError: what is no module, no collections. ValueError: a module with
        attributes that cannot be compared, such as lists.
    """
    import flax.linen as nn

    from robust_jax.models.functional import logits_fn  # Loads Flax.

    checks.instance("module", module, nn.Module, "a module of flax.linen")
    checks.instance("variables", variables, Mapping, "its collections, {'params': ...}")
    return logits_fn(module, variables, **options)
