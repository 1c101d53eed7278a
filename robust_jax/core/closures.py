"""Models as they are now: what a function looks up becomes its argument.

JAX keeps what it traced for as long as it knows the function. A weight that a function
looks up, in a notebook's global, an object's attribute or a closure, is a constant of
that trace, and stays so when it changes: a net that was trained on would be judged by
its old weights. So whoever keeps programs of a model asks `as_of_now` for it first.
"""

import functools
import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core.compiling import check_draws
from robust_jax.core.room import leave_room
from robust_jax.core.types import LogitsFn

Mark = tuple[Hashable, ...]  # Of a program: equal where the same is computed.
_RULES = ("custom", "linear_call")  # Beginnings of primitives with rules of one's own.
_JAX = str(jax.__file__).removesuffix("__init__.py")


def as_partial(logits_fn: LogitsFn) -> Partial:
    """A model as a pytree, so that it may be an argument of a compiled program.

    Weights bound by `jax.tree_util.Partial(apply, variables)` stay arguments: new
    ones do not compile again.
    """
    return logits_fn if isinstance(logits_fn, Partial) else Partial(logits_fn)


def as_of_now(model: LogitsFn, *example: Any) -> Partial:
    """A model with all weights as arguments, those that it looks up among them.

    The model is traced anew. What it looks up by then are leaves of the result, so
    that other weights do not compile again; where anything else has changed, a number
    in its text, its architecture or a rule of its gradient, the result is another
    function, for which programs are compiled anew.
    Guarantees: what is not a function of `example`'s shapes and types alone, such as a
    branch on values, raises JAX's error, as in any trace.
    Edge cases: what a function of `jax.jit` inside has looked up when it was called
    first stays as it is, as it does for whoever calls it, but for NumPy arrays that
    were written to since; such arrays are constants, other ones compile anew. What a
    function on the host looks up is looked up at each call. A rule of batches must not
    depend on their size.

    Args:
        model: of one example [*S], and a key if it is random.
        example: arrays like those that the model is called with, of no other shape.
    """
    return _settled(as_partial(model), example, _mark_of_rules)


def values_of_now(function: Callable[..., Any], *example: Any) -> Partial:
    """As `as_of_now`, of a function that is asked for values alone, which is quicker.

    Rules of its own for gradients and batches may be those of an earlier time.
    """
    return _settled(as_partial(function), example, lambda *_: ())


def _settled(given: Partial, example: Any, rules: Callable[..., "Mark"]) -> Partial:
    if isinstance(given.func, _Program):
        return given
    leaves, structure = jax.tree.flatten(given)

    def call(leaves: Any, *example: Any) -> Any:
        return jax.tree.unflatten(structure, leaves)(*example)

    closed, shape = traced_now(call, leaves, *example)
    check_draws(equation.primitive.name for equation in equations(closed.jaxpr))
    looked_up, leaves = ([_own(v) for v in some] for some in (closed.consts, leaves))
    program = _Program(closed.jaxpr, jax.tree.structure(shape))
    mark = _mark(closed) + rules(program, looked_up, leaves, example)
    known = _known(mark, jax.tree.structure((example, shape)))
    return Partial(known.setdefault("program", program), looked_up, leaves)


def mark_of_now(function: Callable[..., Any], *example: Any) -> Mark:
    """What tells what a function computes now, all that it looks up included."""
    closed, _ = traced_now(function, *example)
    return _mark(closed, closed.consts)


def traced_now(function: Callable[..., Any], *args: Any) -> tuple[jex.ClosedJaxpr, Any]:
    """What a function computes, and the shapes of its results.

    As `jax.make_jaxpr`, which for a function that it knows may answer from memory.
    """
    closed, shape = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(
        *args
    )
    return closed, shape


class _Same:
    """A function on the host, equal to itself; held, lest another one takes its place.

    Where a trace makes one anew, its address would be given away after the trace.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._function is other._function

    def __hash__(self) -> int:
        return id(self._function)


class _Program:
    """What a model computes, of what it looked up, its weights and an example.

    Equal to itself alone, so that JAX keeps programs for as long as it lives.
    """

    def __init__(self, jaxpr: jex.Jaxpr, out: Any) -> None:
        inputs = [*jaxpr.constvars, *jaxpr.invars]
        debug = jaxpr.debug_info._replace(arg_names=None)
        alone = jaxpr.replace(constvars=[], invars=inputs, debug_info=debug)
        self._call = jex.jaxpr_as_fun(jex.ClosedJaxpr(alone, []))
        self._out = out
        self.has_rules = any(map(_has_own_rule, equations(jaxpr)))

    def __call__(self, looked_up: Any, leaves: Any, *example: Any) -> Any:
        arguments = *looked_up, *leaves, *jax.tree.leaves(example)
        return jax.tree.unflatten(self._out, self._call(*arguments))


@functools.lru_cache(maxsize=1024)
def _known(mark: Mark, structure: Any) -> dict[str, _Program]:
    """Where the program of a mark is; nothing of the user's but callbacks is held."""
    leave_room()  # Compiled programs of a new model are about to come.
    return {}


def _has_own_rule(equation: jex.JaxprEqn) -> bool:
    """Whether a rule is behind that may look things up: any but that of JAX's relu.

    Somebody's rule for a function of JAX's, and another one for relu itself, count.
    """
    if not _has_rule(equation):
        return False
    call = equation.params.get("call_jaxpr")
    if equation.primitive.name != "custom_jvp_call" or call is None:
        return True
    is_relu = call.jaxpr.debug_info.func_src_info.startswith(f"relu at {_JAX}")
    return not is_relu or any(map(_has_rule, equations(call.jaxpr)))


def _has_rule(equation: jex.JaxprEqn) -> bool:
    return equation.primitive.name.startswith(_RULES)


def _mark_of_rules(program: _Program, *arguments: Any) -> Mark:
    """Of the model's batches and gradients, whose rules look things up by themselves.

    That is a constant of all programs, so that its value counts.
    """
    looked_up, leaves, example = arguments
    if not program.has_rules:
        return ()
    batch = jax.tree.map(_two, example)

    def gradient(looked_up: Any, leaves: Any, x: Any, *others: Any) -> Any:
        call = functools.partial(program, looked_up, leaves)
        logits, back = jax.vjp(lambda x: call(x, *others), x)
        return back(jax.tree.map(jnp.ones_like, logits))

    mark: Mark = ()
    for function in (program, gradient):
        batched = jax.vmap(function, (None, None, *(0 for _ in batch)))
        try:
            closed, _ = traced_now(batched, looked_up, leaves, *batch)
        except Exception:  # It has no gradient, as on the host; who needs it is told.
            continue
        mark += _mark(closed, closed.consts)
    return mark


def _mark(closed: jex.ClosedJaxpr, constants: Sequence[Any] = ()) -> Mark:
    """A digest of a program's text and of what it hides, and who is called back."""
    total = hashlib.blake2b(str(closed.jaxpr).encode(), digest_size=16)
    for value in (*constants, *held(closed.jaxpr)):
        total.update(np.ascontiguousarray(_plain(value)).tobytes())
    hosts = (
        _Same(value.callback_func)
        for equation in equations(closed.jaxpr)
        for value in equation.params.values()
        if hasattr(value, "callback_func")
    )
    return (total.hexdigest(), *hosts)


def equations(program: jex.Jaxpr) -> Iterator[jex.JaxprEqn]:
    """Those of a program and of all programs inside."""
    for equation in program.eqns:
        yield equation
        for inner in jex.jaxprs_in_params(equation.params):
            yield from equations(inner)


def held(program: jex.Jaxpr) -> Iterator[Any]:
    """The numbers inside of a program, of which its text need not tell all."""
    for equation in equations(program):
        yield from (v.val for v in equation.invars if isinstance(v, jex.Literal))
        for inner in jax.tree.leaves(list(equation.params.values())):
            if isinstance(inner, jex.ClosedJaxpr):
                yield from inner.consts


def _plain(value: Any) -> np.ndarray:
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(
        value.dtype, jax.dtypes.prng_key
    ):
        value = jax.random.key_data(value)
    return np.asarray(value)


def _two(leaf: Any) -> jax.ShapeDtypeStruct:
    one = jax.typeof(leaf)
    return jax.ShapeDtypeStruct((2, *one.shape), one.dtype)


def _own(value: Any) -> Any:
    """A copy of what somebody may write to; JAX's arrays and numbers as they are."""
    is_fixed = isinstance(value, jax.Array | int | float | complex | np.generic)
    return value if is_fixed else np.array(value)
