"""What the programs of a tile compute: slots are begun, moved, judged and exchanged."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.core import faces, incumbent
from robust_jax.core.types import Array, Attack, AttackResult, Goal, LogitsFn, Threat

THREEFRY = "threefry2x32"


class Inputs(NamedTuple):
    """What a slot needs to begin an item; arrays of all slots, [S]."""

    key_data: np.ndarray  # [S, 2] uint32, of threefry keys
    x: np.ndarray  # [S, *S]
    goal: Goal
    threat: Threat  # fields per slot: [S], faces of the box also [S, *S]
    logits: np.ndarray  # [S, K], clean


class Slots(NamedTuple):
    """The running attacks of one tile; the leading axis is the slot."""

    state: Any
    threat: Threat
    calls: Array  # [S] int32: of `step`, of a slot that was not frozen
    spent: Array  # [S, 2] int32: forwards and backwards that were computed


class Snapshot(NamedTuple):
    """What the host reads between two chunks; the leading axis is the slot."""

    done: Array  # bool
    left: Array  # int32: calls of `step` left in the budget
    calls: Array  # int32
    spent: Array  # [S, 2] int32
    result: AttackResult  # meaningful where done


def fresh(attack: Attack, inputs: Inputs) -> Slots:
    """Slots that are about to begin; the clean logits are known, no model is asked."""
    keys = jax.random.wrap_key_data(jnp.asarray(inputs.key_data), impl=THREEFRY)

    def one(key, threat, x, goal, logits):
        state = attack.init(key, threat, x, goal, logits)
        clean = incumbent.clean_point(threat, x, logits, goal)
        return state._replace(best=clean)

    state = jax.vmap(one)(keys, inputs.threat, inputs.x, inputs.goal, inputs.logits)
    calls = jnp.zeros(len(inputs.key_data), jnp.int32)
    return Slots(state, inputs.threat, calls, jnp.zeros((len(calls), 2), jnp.int32))


def refilled(attack: Attack, slots: Slots, mask: Array, inputs: Inputs) -> Slots:
    """Begins the items of the inputs in the slots of the mask."""
    new = fresh(attack, inputs)  # The counters go on: they are the slot's.
    return _select(mask, new._replace(calls=slots.calls, spent=slots.spent), slots)


def stepped(attack: Attack, logits_fn: LogitsFn, slots: Slots, live: Array) -> Slots:
    """One call of `step` in every slot; those that have ended stay as they are."""
    calls = attack.steps - (attack.judge is not None)
    over = jax.vmap(attack.done)(slots.threat, slots.state)
    runs = live & ~over & (slots.state.i < calls)
    step = jax.vmap(faces.stepping(attack.step), (None, 0, 0))
    return _moved(slots, step(logits_fn, slots.threat, slots.state), runs)


def judged(attack: Attack, logits_fn: LogitsFn, slots: Slots, live: Array) -> Slots:
    """The last call, without a gradient, in the slots that wait for it."""
    over = jax.vmap(attack.done)(slots.threat, slots.state)
    waits = live & ~over & (slots.state.i == attack.steps - 1)
    judge = jax.vmap(faces.stepping(attack.judge or attack.step), (None, 0, 0))
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


def looped(
    attack: Attack, logits_fn: LogitsFn, slots: Slots, live: Array, count: Array
) -> Slots:
    """`stepped` as often as `count` says."""

    def step(_: Array, slots: Slots) -> Slots:
        return stepped(attack, logits_fn, slots, live)

    return jax.lax.fori_loop(0, count, step, slots)


def exchanged(
    attack: Attack, slots: Slots, others: Slots, mask: Array, index: Array
) -> tuple[Slots, Snapshot]:
    """Slots with rows of another tile's where the mask says so, and a look at them."""
    taken = jax.tree.map(lambda leaf: leaf[index], others)
    taken = taken._replace(calls=slots.calls, spent=slots.spent)
    slots = _select(mask, taken, slots)
    done = jax.vmap(attack.done)(slots.threat, slots.state)
    left = attack.steps - slots.state.i
    result = jax.vmap(faces.finishing(attack.finish))(slots.threat, slots.state)
    return slots, Snapshot(done, left, slots.calls, slots.spent, result)


def _select(mask: Array, new: Any, old: Any) -> Any:
    def choose(a, b):
        return jnp.where(mask.reshape(mask.shape + (1,) * (jnp.ndim(a) - 1)), a, b)

    return jax.tree.map(choose, new, old)
