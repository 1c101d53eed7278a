"""Flax Linen modules as logit functions."""

from typing import Any

from jax.tree_util import Partial


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
    Raises: ValueError: a module with attributes that cannot be compared, such as lists.
    """
    from robust_jax.models.functional import logits_fn  # Loads Flax.

    return logits_fn(module, variables, **options)
