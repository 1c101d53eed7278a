"""Work items on canonical tiles of device slots, with a journal of what has ended."""

from robust_jax.evaluate.engine.estimate import Estimate
from robust_jax.evaluate.engine.journal import Entry, Journal
from robust_jax.evaluate.engine.ledger import Ledger
from robust_jax.evaluate.engine.limit import Limit
from robust_jax.evaluate.engine.queue import Item, Queue
from robust_jax.evaluate.engine.run import Layout, begun, of_now, run_stage
from robust_jax.evaluate.engine.work import Examples, Work

__all__ = [
    "Entry",
    "Estimate",
    "Examples",
    "Item",
    "Journal",
    "Layout",
    "Ledger",
    "Limit",
    "Queue",
    "Work",
    "begun",
    "of_now",
    "run_stage",
]
