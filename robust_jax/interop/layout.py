"""Functions of a batch as functions of one example."""

from collections.abc import Callable

from jax.tree_util import Partial

from robust_jax.core import checks
from robust_jax.core.drive import as_partial
from robust_jax.core.types import Array


def per_example(batch_fn: Callable[[Array], Array]) -> Partial:
    """A net that insists on a batch axis, as a function of one example.

    Guarantees: weights that are data (a `Partial`, as the adapters make) stay so: new
    ones do not retrace. The net must treat the examples of a batch independently.

    Args:
        batch_fn: batches [B, *S] to logits [B, K].
    Returns: one example [*S] to its logits [K].
    Raises: TypeError: what is no function.
    """
    checks.function("batch_fn", batch_fn)
    return Partial(_first, as_partial(batch_fn))


def _first(batch_fn: Callable[[Array], Array], x: Array) -> Array:
    return batch_fn(x[None])[0]
