"""The compiled programs of one attack on one tile of one device.

Several devices each have their own programs of the same code, rather than one program
over a mesh: what XLA makes of a partitioned program rounds differently (1e-6 in the
margins of a dense net on 8 CPU devices), and results must not depend on the devices.
"""

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from robust_jax.core import drive, incumbent
from robust_jax.core.memo import memoised
from robust_jax.core.types import Array, Attack, AttackResult, Goal, LogitsFn

_THREEFRY = "threefry2x32"


class Order(NamedTuple):
    """What a slot needs to begin an item; arrays of all slots, [S]."""

    key_data: np.ndarray  # [S, 2] uint32, of threefry keys
    x: np.ndarray  # [S, *S]
    goal: Goal
    threat: Any  # fields per slot: [S], faces of the box also [S, *S]
    logits: np.ndarray  # [S, K], clean


class Slots(NamedTuple):
    """The running attacks of one tile; the leading axis is the slot."""

    state: Any
    threat: Any
    calls: Array  # [S] int32: of `step`, of a slot that was not frozen
    spent: Array  # [S, 2] int32: forwards and backwards that were computed


class Look(NamedTuple):
    """What the host looks at between two chunks; the leading axis is the slot."""

    done: Array  # bool
    left: Array  # int32: calls of `step` left in the budget
    calls: Array  # int32
    spent: Array  # [S, 2] int32
    result: AttackResult  # meaningful where done


class Programs:
    """Refill, step, judge, look and merge; see `programs`.

    Args:
        attack: any attack.
        tile: how many slots.
        device: where they are.
        loops: whether a chunk is one program with the loop inside, or calls of one
            step from the host, which on XLA:CPU is 4 to 48 times faster for foreign
            convolutions.
    """

    def __init__(self, attack: Attack, tile: int, device: Any, loops: bool) -> None:
        self.attack, self.slots, self.loops = attack, tile, loops
        self._sharding = SingleDeviceSharding(device)
        self._compiled: dict[Any, Compiled] = {}

    def compiled_for(self, logits_fn: Any, order: Order) -> "Compiled":
        """The programs for this model's and these inputs' shapes, compiled once."""
        args = jax.tree.map(_struct, (logits_fn, order))
        leaves, structure = jax.tree.flatten(args)
        signature = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if signature not in self._compiled:
            self._compiled[signature] = Compiled(self, *args)
        return self._compiled[signature]

    def text(self, logits_fn: LogitsFn, order: Order) -> str:
        """What begins and moves an item, as the compiler's text, equal for equal code.

        Args:
            logits_fn: the model on one example.
            order: of any number of slots.
        """
        model, order = jax.tree.map(_struct, (drive.as_partial(logits_fn), order))
        functions = traced(self.attack)
        slots = jax.eval_shape(functions["fresh"], order)
        live = jax.ShapeDtypeStruct(order.key_data.shape[:1], bool)
        begins = drive.compiled(functions["fresh"]).lower(order)
        moves = drive.compiled(functions["step"]).lower(model, slots, live)
        return begins.as_text() + moves.as_text()

    def built(self, plans: dict[str, Any]) -> dict[str, Any]:
        """Compiles several programs at once: XLA works outside Python's lock.

        Args:
            plans: name to (function, shapes of its arguments, donated positions).
        """
        with concurrent.futures.ThreadPoolExecutor(len(plans)) as pool:
            compiling = {n: pool.submit(self._built, *p) for n, p in plans.items()}
            return {name: one.result() for name, one in compiling.items()}

    def _built(self, function: Any, arguments: Any, donated: tuple[int, ...]) -> Any:
        here = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=self._sharding
            ),
            arguments,
        )
        jitted = drive.compiled(function, donate_argnums=donated)
        return jitted.lower(*here).compile()

    def placed(self, tree: Any) -> Any:
        """Arrays where the programs expect them."""
        return jax.device_put(tree, self._sharding)


@memoised
def programs(attack: Attack, tile: int, device: Any, loops: bool) -> Programs:
    """The programs of an attack, kept so that later calls compile nothing."""
    return Programs(attack, tile, device, loops)


class Compiled:
    """The programs of one attack, ahead of time: another shape is an error."""

    def __init__(self, owner: Programs, logits_fn: Any, order: Any) -> None:
        self._owner, functions = owner, traced(owner.attack)
        self._shape = slots = jax.eval_shape(functions["fresh"], order)
        live = jax.ShapeDtypeStruct((owner.slots,), bool)
        index = jax.ShapeDtypeStruct((owner.slots,), np.int32)
        count = jax.ShapeDtypeStruct((), np.int32)
        step = (logits_fn, slots, live)
        arguments = {
            "refill": ((slots, live, order), (0,)),
            "look": ((slots,), ()),
            "merge": ((slots, slots, live, index), (0,)),
        }
        if owner.loops:
            arguments["chunk"] = (*step, count), (1,)
        else:
            arguments["step"] = step, (1,)
        if "judge" in functions:
            arguments["judge"] = step, (1,)
        plans = {name: (functions[name], *plan) for name, plan in arguments.items()}
        self._programs = owner.built(plans)
        self.refill, self.merge = self._programs["refill"], self._programs["merge"]
        self.look, self.judge = self._programs["look"], self._programs.get("judge")
        self.chunk = self._programs["chunk"] if owner.loops else self._called

    @property
    def device_bytes(self) -> int:
        """What the largest program needs on each device, weights and slots included."""
        heavy = self._programs["chunk" if self._owner.loops else "step"]
        analysis = heavy.memory_analysis()
        if analysis is None:
            return 0
        sizes = "argument", "output", "temp"
        total = sum(getattr(analysis, f"{size}_size_in_bytes") for size in sizes)
        return int(total - analysis.alias_size_in_bytes)

    def blank(self) -> Slots:
        """Slots without items."""
        return self._owner.placed(jax.tree.map(_zeros, self._shape))

    def _called(self, logits_fn: Any, slots: Slots, live: Any, count: Any) -> Slots:
        step = self._programs["step"]
        for _ in range(int(count)):
            slots = step(logits_fn, slots, live)
        return slots


def traced(attack: Attack) -> dict[str, Callable[..., Any]]:
    """What is compiled, by name, as pure functions of whole tiles.

    fresh (order) and refill (slots, mask, order) begin items; step (logits_fn, slots,
    live), chunk (.., count of steps) and judge move them; look (slots) says what to
    know of them; merge (slots, others, mask, index) takes rows of another tile.
    """
    step = functools.partial(_stepped, attack)
    fresh = functools.partial(_fresh, attack)
    functions: dict[str, Callable[..., Any]] = {
        "fresh": fresh,
        "refill": functools.partial(_refilled, fresh),
        "step": step,
        "chunk": functools.partial(_looped, step),
        "look": functools.partial(_looked_at, attack),
        "merge": _merged,
    }
    if attack.judge is not None:
        functions["judge"] = functools.partial(_judged, attack)
    return functions


def _fresh(attack: Attack, order: Order) -> Slots:
    """Slots that are about to begin; the clean logits are known, no model is asked."""
    keys = jax.random.wrap_key_data(jnp.asarray(order.key_data), impl=_THREEFRY)

    def one(key, threat, x, goal, logits):
        state = attack.init(key, threat, x, goal)
        clean = incumbent.clean_point(threat, x, logits, goal)
        return drive.tell(state._replace(best=clean), logits)

    state = jax.vmap(one)(keys, order.threat, order.x, order.goal, order.logits)
    calls = jnp.zeros(len(order.key_data), jnp.int32)
    return Slots(state, order.threat, calls, jnp.zeros((len(calls), 2), jnp.int32))


def _refilled(
    fresh: Callable[[Order], Slots], slots: Slots, mask: Array, order: Order
) -> Slots:
    new = fresh(order)  # The counters go on: they are the slot's, not the item's.
    new = new._replace(calls=slots.calls, spent=slots.spent)
    return _select(mask, new, slots)


def _stepped(attack: Attack, logits_fn: LogitsFn, slots: Slots, live: Array) -> Slots:
    """One call of `step` in every slot; those that have ended stay as they are."""
    calls = attack.steps - (attack.judge is not None)
    over = jax.vmap(attack.done)(slots.threat, slots.state)
    runs = live & ~over & (slots.state.i < calls)
    step = jax.vmap(attack.step, (None, 0, 0))
    return _moved(slots, step(logits_fn, slots.threat, slots.state), runs)


def _judged(attack: Attack, logits_fn: LogitsFn, slots: Slots, live: Array) -> Slots:
    """The last call, without a gradient, in the slots that wait for it."""
    over = jax.vmap(attack.done)(slots.threat, slots.state)
    waits = live & ~over & (slots.state.i == attack.steps - 1)
    judge = jax.vmap(attack.judge or attack.step, (None, 0, 0))
    return _moved(slots, judge(logits_fn, slots.threat, slots.state), waits)


def _moved(slots: Slots, moved: Any, runs: Array) -> Slots:
    old = slots.state
    paid = moved.forwards - old.forwards, moved.backwards - old.backwards
    return Slots(
        state=_select(runs, moved, old),
        threat=slots.threat,
        calls=slots.calls + runs,
        spent=slots.spent + jnp.stack(paid, axis=1),
    )


def _looped(
    step: Callable[..., Slots],
    logits_fn: LogitsFn,
    slots: Slots,
    live: Array,
    count: Array,
) -> Slots:
    return jax.lax.fori_loop(0, count, lambda _, s: step(logits_fn, s, live), slots)


def _looked_at(attack: Attack, slots: Slots) -> Look:
    done = jax.vmap(attack.done)(slots.threat, slots.state)
    left = attack.steps - slots.state.i
    result = jax.vmap(attack.finish)(slots.threat, slots.state)
    return Look(done, left, slots.calls, slots.spent, result)


def _merged(slots: Slots, others: Slots, mask: Array, index: Array) -> Slots:
    """Slots with rows of another tile's where the mask says so."""
    taken = jax.tree.map(lambda leaf: leaf[index], others)
    taken = taken._replace(calls=slots.calls, spent=slots.spent)
    return _select(mask, taken, slots)


def _select(mask: Array, new: Any, old: Any) -> Any:
    def choose(a, b):
        return jnp.where(mask.reshape(mask.shape + (1,) * (jnp.ndim(a) - 1)), a, b)

    return jax.tree.map(choose, new, old)


def _struct(leaf: Any) -> jax.ShapeDtypeStruct:
    if isinstance(leaf, jax.Array):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    array = np.asarray(leaf)
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))


def _zeros(struct: jax.ShapeDtypeStruct) -> Array:
    if jax.dtypes.issubdtype(struct.dtype, jax.dtypes.prng_key):
        data = jnp.zeros((*struct.shape, 2), jnp.uint32)
        return jax.random.wrap_key_data(data, impl=_THREEFRY)
    return jnp.zeros(struct.shape, struct.dtype)
