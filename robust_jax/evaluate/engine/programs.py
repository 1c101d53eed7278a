"""The compiled programs of one attack on one tile of one device.

Several devices each have their own programs of the same code, rather than one program
over a mesh: what XLA makes of a partitioned program rounds differently (1e-6 in the
margins of a dense net on 8 CPU devices), and results must not depend on the devices.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from robust_jax.core import drive, exports
from robust_jax.core.compiling import compiled, compiler_options
from robust_jax.core.flops import Sketch
from robust_jax.core.memo import memoised
from robust_jax.core.types import Attack, LogitsFn
from robust_jax.evaluate.engine.ahead import Ahead
from robust_jax.evaluate.engine.transitions import (
    THREEFRY,
    Inputs,
    Slots,
    Snapshot,
    exchanged,
    fresh,
    judged,
    looped,
    refilled,
    stepped,
)

_BRIEF = ("refill", "exchange")  # Programs that ask no model.


class Programs:
    """Refill, step, exchange and judge; see `programs`.

    Args:
        tile: how many slots.
        device: where they are.
        loops: whether a chunk is one program with the loop inside, or calls of one
            step from the host, which on XLA:CPU is 4 to 48 times faster for foreign
            convolutions.
    """

    def __init__(self, tile: int, device: Any, loops: bool) -> None:
        self.slots, self.loops = tile, loops
        self._sharding = SingleDeviceSharding(device)
        self._compiled: dict[Any, Compiled] = {}

    def begun(self, attack: Any, logits_fn: Any, inputs: Inputs) -> "Compiled":
        """The programs for these shapes of model, inputs and numbers.

        Compiled once, in threads: whoever calls one waits for it alone.
        """
        args = jax.tree.map(_struct, (attack, logits_fn, inputs))
        leaves, structure = jax.tree.flatten(args)
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        options = tuple(compiler_options().items())
        signature = structure, shapes, options, exports.settings()
        if signature not in self._compiled:
            self._compiled[signature] = Compiled(self, *args)
        self._compiled[signature].ahead.begin()
        return self._compiled[signature]

    def traced(self, plan: exports.Plan, brief: bool) -> tuple[Any, Sketch]:
        """A traced program, to be lowered and compiled, and how large it is.

        Args:
            plan: the function, its arguments and results.
            brief: whether to leave out optimisation.
        """
        here = jax.tree.map(self._here, plan.arguments)
        function, sketch = exports.kept(plan)
        jitted = compiled(function, brief=brief, donate_argnums=plan.donated)
        traced = jitted.trace(*here)
        return traced, sketch or Sketch.of(traced.jaxpr.jaxpr)

    def _here(self, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=self._sharding, weak_type=leaf.weak_type
        )

    def placed(self, tree: Any) -> Any:
        """Arrays where the programs expect them."""
        return jax.device_put(tree, self._sharding)


@memoised
def programs(structure: Any, tile: int, device: Any, loops: bool) -> Programs:
    """The programs of attacks of one structure (see `core.factories`).

    They are kept, so that later calls, and attacks that differ in numbers, compile
    nothing.
    """
    return Programs(tile, device, loops)


def traced(attack: Any, logits_fn: LogitsFn, inputs: Inputs) -> list[Any]:
    """What begins an item and what moves it, as traced programs.

    Args:
        attack: any attack, a product.
        logits_fn: the model on one example.
        inputs: of any number of slots.
    """
    shapes = jax.tree.map(_struct, (attack, drive.as_partial(logits_fn), inputs))
    attack_shape, model, inputs = shapes
    slots = jax.eval_shape(fresh, attack_shape, inputs)
    live = jax.ShapeDtypeStruct(inputs.key_data.shape[:1], bool)
    return [
        jax.jit(fresh).trace(attack_shape, inputs),
        jax.jit(stepped).trace(attack_shape, model, slots, live),
    ]


class Compiled:
    """The programs of one structure, ahead of time: another shape is an error.

    All take the attack, whose numbers are arguments. What computes little is compiled
    without optimisation, which takes a third of the time.
    """

    def __init__(
        self, owner: Programs, attack: Any, logits_fn: Any, inputs: Any
    ) -> None:
        self._owner = owner
        self._shape = slots = jax.eval_shape(fresh, attack, inputs)
        self.judges = jax.eval_shape(_can_judge, attack) is not None
        live = jax.ShapeDtypeStruct((owner.slots,), bool)
        index = jax.ShapeDtypeStruct((owner.slots,), np.int32)
        step = (attack, logits_fn, slots, live)
        take = (attack, slots, slots, live, index)
        of, model = (attack, inputs), exports.model_name(logits_fn, inputs.x)
        looked = jax.eval_shape(exchanged, *take)
        plans = {
            "refill": exports.Plan(
                refilled, (attack, slots, live, inputs), slots, (1,), of, ""
            ),
            "step": exports.Plan(stepped, step, slots, (2,), of, model),
            "exchange": exports.Plan(exchanged, take, looked, (), of, ""),
            "judge": exports.Plan(judged, step, slots, (2,), of, model),
        }
        if owner.loops:
            count = jax.ShapeDtypeStruct((), np.int32)
            plans["step"] = exports.Plan(looped, (*step, count), slots, (2,), of, model)
        if not self.judges:
            del plans["judge"]
        traced = {n: owner.traced(plan, n in _BRIEF) for n, plan in plans.items()}
        self.sketches = {name: sketch for name, (_, sketch) in traced.items()}
        self.ahead = Ahead(
            {name: functools.partial(_built, one) for name, (one, _) in traced.items()}
        )

    def refill(self, attack: Any, slots: Slots, mask: Any, inputs: Inputs) -> Slots:
        """See `refilled`."""
        return self.ahead.made("refill")(attack, slots, mask, inputs)

    def exchange(self, attack: Any, slots: Slots, *rows: Any) -> tuple[Slots, Snapshot]:
        """See `exchanged`."""
        return self.ahead.made("exchange")(attack, slots, *rows)

    def judge(self, attack: Any, logits_fn: Any, slots: Slots, live: Any) -> Slots:
        """See `judged`."""
        return self.ahead.made("judge")(attack, logits_fn, slots, live)

    def chunk(
        self, attack: Any, logits_fn: Any, slots: Slots, live: Any, count: int
    ) -> Slots:
        """`stepped`, `count` times."""
        step = self.ahead.made("step")
        if self._owner.loops:
            return step(attack, logits_fn, slots, live, np.int32(count))
        for _ in range(count):
            slots = step(attack, logits_fn, slots, live)
        return slots

    @property
    def slot_bytes(self) -> int:
        """What the slots of a tile need."""
        sizes = (one.size * one.dtype.itemsize for one in jax.tree.leaves(self._shape))
        return int(sum(sizes))

    @property
    def made(self) -> list[bool]:
        """Which of its programs are compiled."""
        return [self.ahead.is_made(name) for name in self.sketches]

    def blank(self) -> Slots:
        """Slots without items."""
        return self._owner.placed(jax.tree.map(_zeros, self._shape))


def _built(traced: Any) -> Any:
    return traced.lower().compile()


def _can_judge(attack: Attack) -> Any:
    return None if attack.judge is None else ()


def _struct(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape and type as a program's argument has them; Python's numbers are weak."""
    weak = isinstance(leaf, int | float) or getattr(leaf, "weak_type", False)
    if not isinstance(leaf, jax.Array):
        leaf = np.asarray(leaf)
        leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=weak)


def _zeros(struct: jax.ShapeDtypeStruct) -> Any:
    if jax.dtypes.issubdtype(struct.dtype, jax.dtypes.prng_key):
        data = jax.device_put(np.zeros((*struct.shape, 2), np.uint32))  # No program.
        return jax.random.wrap_key_data(data, impl=THREEFRY)
    return np.zeros(struct.shape, struct.dtype)
