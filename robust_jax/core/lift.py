"""From one example to many: keys of items, threats per example, canonical tiles."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import checks, faces, layout
from robust_jax.core.closures import as_of_now
from robust_jax.core.compiling import compiled, own_settings
from robust_jax.core.types import Array, Key, Threat

TILE = 64  # Slots of a device program. A constant: a row's last bits depend on it.
_KEY_BLOCK = 1024
_THREEFRY = "threefry2x32"

_Threat = TypeVar("_Threat", bound=Threat)
_Result = TypeVar("_Result")  # AttackResult, or x_adv alone


def over_examples(
    run_one: Callable[..., _Result], *, axis_name: str | None = None
) -> Callable[..., _Result]:
    """`run_one` on a batch: keys, threat, x and goal per example, one model.

    Args:
        axis_name: the batch axis's name, for nets that look at the whole batch.

    Returns: `(keys [B], logits_fn, threat, x [B, *S], goal [B])` to results with a
        leading example axis; the threat's fields are scalars, shaped as one example,
        or per example.
    """

    def run_many(keys, logits_fn, threat, x, goal):
        threat = threat_per_example(threat, x)
        one = lambda key, t, x, g: run_one(key, logits_fn, t, x, g)  # noqa: E731
        return jax.vmap(one, axis_name=axis_name)(keys, threat, x, goal)

    return run_many


def threat_per_example(threat: _Threat, x: Array) -> _Threat:
    """The threat with a leading example axis on each field, as `vmap` wants it.

    Args:
        threat: `eps` of shape [] or [B]; `lower` and `upper` of shape [], [*S],
            [1, *S] or [B, *S].
        x: a batch of inputs, shape [B, *S], or a pytree of such.
    Returns: the same threat, fields as arrays of x's float type.
    """
    return _per_example(jnp, threat, x)


def threat_on_host(threat: _Threat, x: np.ndarray) -> _Threat:
    """As `threat_per_example`, NumPy arrays: on the host nothing is compiled for it."""
    return _per_example(np, threat, x)


def without_kept_axes(threat: _Threat, x: Any) -> _Threat:
    """The threat with a box [1, *S], as `x.min(0, keepdims=True)` has it, as [*S]."""
    rank = jax.tree.leaves(x)[0].ndim

    def dropped(face: Any) -> Any:
        is_kept = np.ndim(face) == rank and np.shape(face)[0] == 1
        return face[0] if is_kept else face

    return threat.replace(**jax.tree.map(dropped, faces.given(threat)))


def _per_example(numpy: Any, threat: _Threat, x: Any) -> _Threat:
    leaf, threat = jax.tree.leaves(x)[0], without_kept_axes(threat, x)
    n, dtype = leaf.shape[0], jnp.promote_types(leaf.dtype, jnp.float32)
    eps = numpy.broadcast_to(numpy.asarray(threat.eps, dtype), (n,))

    def face(bound):
        bound = numpy.asarray(bound, dtype)
        if bound.ndim == leaf.ndim:
            return bound
        return numpy.broadcast_to(bound, (n, *bound.shape))

    threat = threat.replace(eps=eps, **jax.tree.map(face, faces.given(threat)))
    return _narrowed(numpy, threat, x)


def _narrowed(numpy: Any, threat: _Threat, x: Any) -> _Threat:
    """With a box that says what mask and scale do, for who looks at nothing else."""
    box, some = (threat.lower, threat.upper), faces.given(threat)

    def like(field: Any, leaf: Any = x) -> Any:
        """With axes between that of the examples and its own."""
        field = numpy.asarray(field)
        between = (1,) * (leaf.ndim - field.ndim)
        return field.reshape((*field.shape[:1], *between, *field.shape[1:]))

    if not {"mask", "scale"} & set(some):
        return threat
    box = tuple(map(like, box))
    if "mask" in some:
        box = faces.shut(like(some["mask"]), *box, x, numpy)
    if "scale" in some:
        eps, scale = like(threat.eps), like(some["scale"])
        reach = numpy.where(scale == 0, 0, eps * numpy.where(scale == 0, 1, scale))
        box = numpy.maximum(box[0], x - reach), numpy.minimum(box[1], x + reach)
    lower, upper = (numpy.broadcast_to(side, x.shape) for side in box)
    return threat.replace(lower=lower, upper=upper)


def item_keys(
    seed: int, ids: np.ndarray, *, stage: int = 0, target: int = 0, restart: int = 0
) -> Key:
    """One key per work item, from names alone: no batch, order or device enters.

    Args:
        seed: of the whole evaluation.
        ids: one per example, shape [B], uint64; `core.ids.example_ids` by default.
        stage: position of the attack in its plan.
        target: position of the target class among the stage's targets.
        restart: counts the random starts.
    Returns: keys of shape [B], threefry whatever the user's configuration says.
    """
    names = {"stage": stage, "target": target, "restart": restart}
    return keys_from(item_key_data(seed, ids, **names))


@own_settings()
def keys_from(data: Any) -> Key:
    """Threefry keys of shape [B] from their data, [B, 2]; compiles nothing."""
    return jax.random.wrap_key_data(data, impl=_THREEFRY)


@own_settings()
def item_key_data(
    seed: int, ids: np.ndarray, *, stage: int = 0, target: int = 0, restart: int = 0
) -> np.ndarray:
    """The data of `item_keys`, on the host: uint32, shape [B, 2]."""
    checks.seed(seed)
    ids = np.asarray(ids, np.uint64)
    names = np.empty((len(ids), 5), np.uint32)
    names[:, 0], names[:, 1] = ids >> np.uint64(32), ids & np.uint64(0xFFFFFFFF)
    names[:, 2:] = stage, target, restart
    first = np.array([0, seed & 0xFFFFFFFF], np.uint32)  # As `jax.random.key`'s.
    data = np.empty((len(ids), 2), np.uint32)
    # Blocks of one size: any number of items runs the same program.
    for index, real in tiles(len(ids), _KEY_BLOCK):
        data[index[:real]] = np.asarray(_folded()(first, names[index]))[:real]
    return data


@functools.cache
def _folded() -> Callable[..., Any]:
    """(key data [2], names [B, 5]) -> key data [B, 2]: the names folded in, in turn."""

    def fold(data, names):
        key = jax.random.wrap_key_data(data, impl=_THREEFRY)
        one = lambda k, key: jax.random.fold_in(key, names[k])  # noqa: E731
        return jax.random.key_data(jax.lax.fori_loop(0, len(names), one, key))

    return compiled(jax.vmap(fold, (None, 0)), brief=True)


def tiles(n: int, tile: int = TILE) -> Iterator[tuple[np.ndarray, int]]:
    """Cuts n examples into tiles of one size.

    Yields: the indices of a tile, shape [tile], and how many of them are real; the
        others repeat the tile's first example and are dropped by the caller.

    >>> [(index.tolist(), count) for index, count in rj.core.lift.tiles(5, tile=4)]
    [([0, 1, 2, 3], 4), ([4, 4, 4, 4], 1)]
    """
    for first in range(0, n, tile):
        real = min(tile, n - first)
        index = np.full(tile, first)
        index[:real] = np.arange(first, first + real)
        yield index, real


def in_tiles(
    run_many: Callable[..., Any],
    *,
    tile: int = TILE,
    on_tile: Callable[[int], None] | None = None,
) -> Callable[..., Any]:
    """A function of a batch of one fixed size, as a function of any batch.

    Args:
        run_many: `(keys [tile], logits_fn, threat, x, goal) -> pytree` of arrays with
            a leading tile axis.
        tile: the fixed size.
        on_tile: called with the number of real examples of each finished tile.
    Returns: a function with the same arguments for any batch size, whose result is
        the same for any order, subset or number of tiles; NumPy arrays.
    """

    def run_any(keys, logits_fn, threat, x, goal):
        data, x, goal = jax.tree.map(np.asarray, (jax.random.key_data(keys), x, goal))
        logits_fn = as_of_now(logits_fn, jax.tree.map(lambda a: a[0], x))
        parts = []
        for index, real in tiles(len(data), tile):
            part = run_many(
                keys_from(data[index]),
                logits_fn,
                threat_of(threat, x, index),
                jax.tree.map(lambda a: a[index], x),  # noqa: B023
                jax.tree.map(lambda a: a[index], goal),  # noqa: B023
            )
            parts.append(jax.tree.map(lambda a: np.asarray(a)[:real], part))  # noqa: B023
            if on_tile is not None:
                on_tile(real)
        return jax.tree.map(lambda *rows: np.concatenate(rows), *parts)

    return layout.turning(run_any)


def threat_of(threat: _Threat, x: Any, index: np.ndarray) -> _Threat:
    """The threat of some examples: picks the fields that are given per example.

    Args:
        threat: as `threat_per_example` takes it.
        x: all examples, shape [B, *S], or a pytree of such.
        index: which of them, shape [M].
    """
    batched, threat = jax.tree.leaves(x)[0].ndim, without_kept_axes(threat, x)

    def pick(field, per_example_rank):
        field = np.asarray(field)
        return field[index] if field.ndim == per_example_rank else field

    some = jax.tree.map(lambda face: pick(face, batched), faces.given(threat))
    return threat.replace(eps=pick(threat.eps, 1), **some)
