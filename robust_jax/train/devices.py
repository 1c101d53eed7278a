"""Several devices, of one process or many: the batch is split, all else is everywhere.

One program for any number of devices: order, keys and draws are the same, and batch
statistics are those of the whole batch. The compiler splits the work by the batch's
sharding; sums over the batch may round differently.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA = "data"  # The name of the mesh's one axis.


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over the devices, by default all of all processes."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (DATA,))


def check_split(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError unless the devices share a batch evenly."""
    if batch_size % mesh.size:
        fitting = max(n for n in range(1, mesh.size + 1) if batch_size % n == 0)
        raise ValueError(
            f"data.batch_size={batch_size} on {mesh.size} devices; expected a multiple "
            f"of {mesh.size}, or {fitting} devices"
        )


def everywhere(tree: Any, mesh: Mesh) -> Any:
    """Arrays that every process has, as one copy on each device of the mesh."""
    sharding = NamedSharding(mesh, PartitionSpec())

    def place(a: Any) -> jax.Array:
        a = np.asarray(a)
        return jax.make_array_from_callback(a.shape, sharding, lambda index: a[index])

    return jax.tree.map(place, tree)


def split(batch: Any, mesh: Mesh) -> Any:
    """Inside a program: each device has its share of the leading axis."""
    sharding = NamedSharding(mesh, PartitionSpec(DATA))
    return jax.lax.with_sharding_constraint(batch, sharding)


def here(tree: Any) -> Any:
    """The copy that this process has of arrays that are everywhere, on its device."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)
