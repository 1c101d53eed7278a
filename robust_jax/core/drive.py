"""Drivers: the ways to loop an attack, with the same numbers from each.

`run` and `run_unrolled` give a plain function of one example that composes with
`jit`, `vmap` and `grad`. `hosted` gives a function of a batch that calls one
compiled step at a time: on XLA:CPU a plain convolution's gradient is 4 to 48 times
slower inside a traced loop, and between steps the host may stop or show progress.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from robust_jax.core import (
    checks,
    exports,
    faces,
    factories,
    facts,
    given,
    layout,
    lift,
    outputs,
)
from robust_jax.core.closures import as_of_now, as_partial
from robust_jax.core.compiling import compiled, own_settings
from robust_jax.core.current import attack_of_now, of_now
from robust_jax.core.stepping import (
    RunOne as RunOne,
    advance,
    begin,
    is_over,
    last_iterate as last_iterate,
    run,
    run_unrolled as run_unrolled,
)
from robust_jax.core.types import (
    Array,
    Attack,
    AttackResult,
    Goal,
    Key,
    LogitsFn,
    SharedAttack,
    Threat,
)

RunMany = Callable[[Key, LogitsFn, Threat, Array, Goal], AttackResult]

_CHUNK = 25  # Steps between two looks of the host; DESIGN: one synchronisation a chunk.


def hosted(
    attack: Attack, *, to_the_end: bool = False, unvouched: bool = False
) -> RunMany:
    """Gives the attack as a function of a batch whose steps the host calls.

    Stops as soon as every example is finished. The attack is an argument of the
    compiled programs, so that new weights, radii and calls, and another number of a
    factory's attack, do not compile again.

    Returns: `(keys [B], logits_fn, threat, x [B, *S], goal [B]) -> AttackResult [B]`;
        a sixth argument `start` [B, *S] is the first iterate of an attack whose state
        has an `iterate`, in place of the attack's own.
    Raises: ValueError: at the call, under a threat that the attack is not vouched for,
        unless `unvouched`.
    """
    programs, product = (
        _host_programs(to_the_end),
        _asked(attack, to_the_end, unvouched),
    )

    def run_many(keys, logits_fn, threat, x, goal, start=None):
        facts.check_use(product, threat)
        logits_fn = _now(logits_fn, x, goal)
        now = _attack_now(product, keys, logits_fn, threat, x, goal)
        threat = lift.threat_per_example(threat, x)
        state = programs.begin(now, keys, logits_fn, threat, x, goal)
        if start is not None:
            given.check_start(start, state, x)
            state = state._replace(iterate=jnp.asarray(start))
        for i in range(attack.steps):
            state, running = programs.advance(now, logits_fn, threat, state)
            if (i + 1) % _CHUNK == 0 and not running:
                break
        return programs.finish(now, threat, state)

    return _checked(run_many)


def traced(
    attack: Attack, *, to_the_end: bool = False, unvouched: bool = False
) -> RunMany:
    """As `hosted`, as one compiled program with the loop inside."""
    program, product = (
        _traced_program(to_the_end),
        _asked(attack, to_the_end, unvouched),
    )

    def run_many(keys, logits_fn, threat, x, goal):
        facts.check_use(product, threat)
        logits_fn = _now(logits_fn, x, goal)
        threat = jax.tree.map(_strong, threat)
        now = _attack_now(product, keys, logits_fn, threat, x, goal)
        return program(now, keys, logits_fn, threat, x, goal)

    return _checked(run_many)


def _checked(run: Callable[..., AttackResult]) -> RunMany:
    """A run of channels-last images, which takes what a user gives."""
    turned = layout.turning(run)

    @functools.wraps(run)
    @own_settings()
    def run_many(keys, logits_fn, threat, x, goal, *start, **named):
        given.check(keys, logits_fn, threat, x, goal)
        return turned(keys, logits_fn, threat, x, goal, *start, **named)

    return run_many


def _asked(attack: Attack, to_the_end: bool, unvouched: bool) -> Attack:
    checks.attack("attack", attack)
    checks.flag("to_the_end", to_the_end)
    checks.flag("unvouched", unvouched)
    return facts.unvouched(attack) if unvouched else factories.as_product(attack)


def _strong(number: Any) -> Any:
    """A Python number as an array, as its type would be weak and compile again."""
    if isinstance(number, float | int):
        return np.asarray(number, jnp.result_type(type(number)))
    return number


def shared(attack: SharedAttack, batch: int = 64) -> Callable[..., Array]:
    """Gives a shared attack as a function of a set of examples; the host calls steps.

    Step i takes `batch` examples at random, drawn from (key, i); all of them if there
    are no more.

    Returns: `(key, logits_fn, threat, x [N, *S], goal [N])` to what all examples get;
        `attack.place` puts it on one.
    """
    checks.shared_attack("attack", attack)
    checks.positive_integer("batch", batch)

    @own_settings()
    def run_set(key, logits_fn, threat, x, goal):
        given.check_set(key, logits_fn, threat, x, goal)
        layout.refuse_first(logits_fn, x)
        advance = _shared_program(min(batch, len(x)))
        logits_fn, x = _now(logits_fn, x, goal), jnp.asarray(x)
        threat, goal = jax.tree.map(jnp.asarray, (threat, goal))
        some = jax.tree.map(lambda a: a[:batch], (x, goal))
        now = of_now(product, _shared_step, key, logits_fn, threat, *some)
        state = attack.init(key, threat, x[0])
        for _ in range(attack.steps):
            state = advance(now, logits_fn, threat, state, x, goal)
        return state.shared

    product = factories.as_product(attack)
    return run_set


def _shared_step(attack, key, logits_fn, threat, x, goal):
    return attack.step(logits_fn, threat, attack.init(key, threat, x[0]), x, goal)


@functools.lru_cache(maxsize=32)
def _shared_program(batch: int) -> Any:
    def advance(attack, logits_fn, threat, state, x, goal):
        key = jax.random.fold_in(state.key, state.i)
        chosen = jax.random.choice(key, len(x), (batch,), replace=False)
        part = jax.tree.map(lambda a: a[chosen], (x, goal))
        return attack.step(logits_fn, threat, state, *part)

    return compiled(advance)


def auto(
    attack: Attack, *, to_the_end: bool = False, unvouched: bool = False
) -> RunMany:
    """The faster of `hosted` and `traced` here: the host drives on CPU."""
    driver = hosted if jax.default_backend() == "cpu" else traced
    return driver(attack, to_the_end=to_the_end, unvouched=unvouched)


def _now(logits_fn: LogitsFn, x: Any, goal: Goal) -> Partial:
    """See `as_of_now`; within a trace of somebody else's, that one decides."""
    model = as_partial(logits_fn)
    one = jax.tree.map(lambda leaf: leaf[0], x)
    if given.is_traced(model, one):
        return model
    try:
        now = as_of_now(model, one)
    except Exception:
        outputs.check(model, one)  # Says why, if the model itself cannot be traced.
        raise
    given.check_logits(now, x, goal)
    return now


def _attack_now(product, keys, logits_fn, threat, x, goal):
    if exports.is_of_this_library(product):
        return product
    several = keys, lift.threat_per_example(threat, x), x, goal
    key, *others = jax.tree.map(lambda leaf: leaf[0], several)
    return attack_of_now(product, key, logits_fn, *others)


class _HostPrograms:
    """The three compiled programs of attacks over a batch."""

    def __init__(self, to_the_end: bool):
        def begin_all(attack, keys, logits_fn, threat, x, goal):
            one = functools.partial(begin, attack)
            return jax.vmap(one, (0, None, 0, 0, 0))(keys, logits_fn, threat, x, goal)

        def advance_all(attack, logits_fn, threat, state):
            state = jax.vmap(
                lambda t, s: advance(attack, logits_fn, t, s, to_the_end=to_the_end)
            )(threat, state)
            over = jax.vmap(lambda t, s: is_over(attack, t, s, to_the_end))
            return state, ~jnp.all(over(threat, state))

        self.begin, self.advance = compiled(begin_all), compiled(advance_all)
        self.finish = compiled(
            lambda attack, t, s: jax.vmap(faces.finishing(attack.finish))(t, s)
        )


@functools.cache
def _host_programs(to_the_end: bool) -> _HostPrograms:
    return _HostPrograms(to_the_end)


@functools.cache
def _traced_program(to_the_end: bool) -> Any:
    def run_all(attack, *arguments):
        run_one = run(attack, to_the_end=to_the_end)
        return lift.over_examples(run_one)(*arguments)

    return compiled(run_all)
