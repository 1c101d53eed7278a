"""Several devices, of one process or many: the batch is split, all else is everywhere.

One program for any number of devices: order, keys and draws are the same, and batch
statistics are those of the whole batch. The compiler splits the work by the batch's
sharding; sums over the batch may round differently.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA = "data"  # The name of the mesh's one axis.
_FAILS = 2  # What the first process says beside yes and no.


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis over the devices, by default all of all processes."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (DATA,))


def mesh_for(batch_size: int, mesh: Mesh | None = None) -> Mesh | None:
    """The devices that share each batch evenly; None for the default device alone.

    Without a mesh these are all devices if there are several. One process falls back to
    one device if they do not fit; several have to fit, as none could go on alone.

    Raises: ValueError: the batch does not fit the devices.
    """
    if mesh is None:
        fits = batch_size % jax.device_count() == 0
        if jax.device_count() == 1 or (jax.process_count() == 1 and not fits):
            return None
        mesh = data_mesh()
    if batch_size % mesh.size:
        fitting = max(n for n in range(1, mesh.size + 1) if batch_size % n == 0)
        raise ValueError(
            f"data.batch_size={batch_size} on {mesh.size} devices; expected a multiple "
            f"of {mesh.size}, or {fitting} devices"
        )
    return mesh


def replicate(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays that every process has, as one copy on each device of a mesh, if any."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec())

    def place(a: Any) -> jax.Array:
        a = np.asarray(a)
        return jax.make_array_from_callback(a.shape, sharding, lambda index: a[index])

    return jax.tree.map(place, tree)


def constrain_sharded(batch: Any, mesh: Mesh | None) -> Any:
    """Inside a program: each device has its share of the leading axis."""
    return _constrained(batch, mesh, PartitionSpec(DATA))


def constrain_replicated(tree: Any, mesh: Mesh | None) -> Any:
    """Inside a program: each device has all of it."""
    return _constrained(tree, mesh, PartitionSpec())


def local_copy(tree: Any) -> Any:
    """The copy that this process has of arrays that are everywhere, on its device."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)


def max_over_processes(number: int) -> int:
    """The largest number of all processes; each of them has to call it."""
    if jax.process_count() == 1:
        return number
    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def first_says(act: Callable[[], bool]) -> bool:
    """What a function gives in the first process, told to all; it fails in all."""
    says, error = False, None
    try:
        says = jax.process_index() == 0 and act()
    except Exception as caught:
        error = caught
    answer = max_over_processes(_FAILS if error else int(says))
    if answer == _FAILS:
        raise error or ValueError(
            "the first process cannot look at the checkpoints; see what it says"
        )
    return answer > 0


def _constrained(tree, mesh, spec):
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, spec))
