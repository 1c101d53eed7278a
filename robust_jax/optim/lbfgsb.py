"""L-BFGS-B: minimises a smooth function in a box, by a state machine.

`update` takes one evaluation, of value and gradient at `state.point`, and names the
next point; who drives it calls the function. So the slots of a batch, each at another
place of its own search, share every call of a model.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.optim import compact, line_search, quadratic

_DECREASE, _CURVATURE = 1e-3, 0.9  # Wolfe's; as in the authors' code.
_FARTHEST = 1e10  # Step of a search without a bound.
_LEAST_FTOL = 10.0  # Times the dtype's rounding.

ValueAndGrad = Callable[[Array], tuple[Array, Array]]  # [n] -> [], [n]


class Options(NamedTuple):
    """When to stop. The defaults are SciPy's, as far as the dtype can see them."""

    memory: int = 10
    iterations: int = 100  # accepted points
    tries: int = 20  # evaluations of one line search
    ftol: float = 2.2e-9  # relative decrease; at least ten roundings of the dtype
    gtol: float = 1e-5  # largest entry of the projected gradient


class LbfgsbState(NamedTuple):
    """State of one problem; `point` is what to evaluate next."""

    point: Array  # [n]
    x: Array  # [n] the accepted point
    value: Array  # []
    grad: Array  # [n]
    aim: Array  # [n]
    search: line_search.SearchState
    pairs: compact.Pairs
    iterations: Array  # [] int32; -1 before the first evaluation
    turning: Array  # [] bool: a new search is to be begun from x
    converged: Array  # [] bool: no further point will be accepted


def init(x: Array, lower: ArrayLike, upper: ArrayLike, memory: int = 10) -> LbfgsbState:
    """The state before the first evaluation, which is at x [n], clipped to the box.

    >>> rj.optim.lbfgsb.init(jnp.array([0.5, 2.0]), 0, 1).point
    Array([0.5, 1.], dtype=float32)
    """
    x = jnp.clip(x, lower, upper)
    zero, no = jnp.zeros((), x.dtype), jnp.zeros((), bool)
    search = line_search.begun(zero, zero, zero, zero)
    return LbfgsbState(
        point=x,
        x=x,
        value=jnp.full((), jnp.inf, x.dtype),
        grad=jnp.zeros_like(x),
        aim=x,
        search=search,
        pairs=compact.no_pairs(x, memory),
        iterations=jnp.full((), -1, jnp.int32),
        turning=no,
        converged=no,
    )


def update(
    state: LbfgsbState,
    value: Array,
    grad: Array,
    lower: ArrayLike,
    upper: ArrayLike,
    options: Options = Options(),  # noqa: B008
) -> LbfgsbState:
    """The state after one evaluation at `state.point`: `judge`, then `turn`.

    A search goes towards the minimum of L-BFGS's quadratic model over the coordinates
    that a Cauchy point leaves off their bounds, projected onto the box. The Cauchy
    point is approximate: of a step of 1 / theta along the projected gradient and the
    Newton step from there along the same path, the one with the lower model value; if
    neither has a hundredth of the linear decrease, x with its active bounds.
    Guarantees: every point is in the box; the values of the accepted points fall, up
    to rounding; once `converged`, `x` stays.
    Edge cases: a value or gradient that is not finite counts as too long a step; at
    the first point it ends the search.

    Args:
        state: of `init` or `update`.
        value: [], at `state.point`.
        grad: [n].
        lower, upper: the box, [] or [n]; infinite where there is none.
        options: when to stop; the memory is that of `init`.
    References: Byrd et al., "A limited memory algorithm for bound constrained
        optimization", SIAM J. Sci. Comput. 1995; Morales & Nocedal, "Remark on
        Algorithm 778", ACM TOMS 2011. Differs from the authors' code in: an approximate
        Cauchy point; a line search by brackets and parabolas for the weak Wolfe
        conditions, with Hager and Zhang's test within rounding; scaled pairs.
    """
    return turn(judge(state, value, grad, lower, upper, options), lower, upper)


def judge(
    state: LbfgsbState,
    value: Array,
    grad: Array,
    lower: ArrayLike,
    upper: ArrayLike,
    options: Options,
) -> LbfgsbState:
    """Half an update: accepts the point, or goes on in its line search.

    Between the halves a driver may put another problem in the place of a finished one.
    """
    first, search = state.iterations < 0, state.search
    number = jnp.isfinite(value) & jnp.all(jnp.isfinite(grad))
    value, grad = jnp.where(number, value, jnp.inf), jnp.where(number, grad, 0)
    slope = grad @ (state.aim - state.x)
    rounding = jnp.finfo(value.dtype).eps
    enough = value <= state.value + _DECREASE * search.step * search.slope
    # Near a minimum rounding hides the decrease: Hager & Zhang's approximate test.
    near = value <= state.value + rounding * jnp.abs(state.value)
    enough |= near & (slope <= (2 * _DECREASE - 1) * search.slope)
    steep = slope < _CURVATURE * search.slope
    accepted = first | (number & enough & (~steep | (search.step >= search.limit)))

    search = line_search.next_try(search, value, slope, enough)
    high = search.high
    narrow = jnp.isfinite(high) & (high - search.low <= rounding * high)
    stuck = ~accepted & ((search.tries >= options.tries) | narrow)
    alone = jnp.all(state.pairs.born < 0)

    s, y = state.point - state.x, grad - state.grad
    bent = s @ y > rounding * -state.search.slope * state.search.step
    keep = accepted & ~first & bent
    pairs = compact.with_pair(state.pairs, s, y, keep, state.iterations)
    ftol = jnp.maximum(options.ftol, _LEAST_FTOL * float(rounding))
    scale = jnp.maximum(jnp.maximum(jnp.abs(state.value), jnp.abs(value)), 1)
    small = ~first & (state.value - value <= ftol * scale)
    flat = projected_gradient(state.point, grad, lower, upper) <= options.gtol
    over = state.iterations + 1 >= options.iterations
    moved = accepted & ~state.converged
    return state._replace(
        x=jnp.where(moved, state.point, state.x),
        value=jnp.where(moved, value, state.value),
        grad=jnp.where(moved, grad, state.grad),
        search=search,
        pairs=compact.forget(pairs, stuck),
        iterations=state.iterations + moved,
        turning=accepted | stuck,
        converged=state.converged
        | (accepted & (small | flat | over | ~number))
        | (stuck & alone),
    )


def restart(
    state: LbfgsbState, condition: Array, x: Array, value: Array, grad: Array
) -> LbfgsbState:
    """Begins anew at x [n] where value and gradient are known, if the condition holds.

    To be called between `judge` and `turn`.
    """
    fresh = state._replace(
        x=x,
        value=value,
        grad=grad,
        iterations=jnp.zeros_like(state.iterations),
        turning=jnp.ones_like(state.turning),
        converged=jnp.zeros_like(state.converged),
    )
    # The rows of the pairs, most of the memory, stay as they are.
    pairs = compact.forget(state.pairs, condition)
    chosen = jax.tree.map(
        lambda new, old: jnp.where(condition, new, old),
        fresh._replace(pairs=pairs),
        state._replace(pairs=pairs),
    )
    return chosen._replace(pairs=pairs)


def turn(state: LbfgsbState, lower: ArrayLike, upper: ArrayLike) -> LbfgsbState:
    """The other half: aims anew where a search ended; names the next point."""
    x, turning = state.x, state.turning
    aim, slope, pairs = quadratic.aim(x, state.grad, state.pairs, turning, lower, upper)
    way = aim - x
    room = jnp.where(way > 0, upper - x, lower - x) / jnp.where(way == 0, 1, way)
    limit = jnp.min(jnp.where(way == 0, _FARTHEST, room), initial=_FARTHEST)
    boxed = jnp.all(jnp.isfinite(lower) & jnp.isfinite(upper))
    bounded = jnp.any(jnp.isfinite(lower) | jnp.isfinite(upper))
    fresh = state.iterations == 0
    limit = jnp.where(fresh & bounded, 1, jnp.maximum(limit, 1))
    length = jnp.sqrt(way @ way)
    short = 1 / jnp.where(length > 0, length, 1)
    step = jnp.where(fresh & ~boxed, jnp.minimum(short, 1), 1).astype(x.dtype)
    begun = line_search.begun(step, limit, slope, state.value)
    search = jax.tree.map(
        lambda new, old: jnp.where(turning, new, old), begun, state.search
    )
    aim = jnp.where(turning, aim, state.aim)
    between = jnp.clip(x + search.step * (aim - x), lower, upper)
    point = jnp.where(search.step == 1, aim, between)
    return state._replace(
        point=jnp.where(state.converged, x, point),
        aim=aim,
        search=search,
        pairs=pairs,
    )


def minimise(
    value_and_grad_fn: ValueAndGrad,
    x: Array,
    lower: ArrayLike,
    upper: ArrayLike,
    evaluations: int = 200,
    options: Options = Options(),  # noqa: B008
) -> LbfgsbState:
    """The state after so many evaluations, or after convergence; see `update`.

    Args:
        value_and_grad_fn: [n] -> value [] and gradient [n].
        x: where to start, [n], float32 or float64, which all work is done in.
        lower, upper: the box, [] or [n]; infinite where there is none.
        evaluations: of the function, in a loop of fixed length, >= 1.
        options: when to stop.
    Returns: a state whose `x` and `value` are the lowest that were accepted.
    Raises: ValueError: evaluations < 1.
    """
    checks.positive_integer("evaluations", evaluations)

    def step(_: Array, state: LbfgsbState) -> LbfgsbState:
        value, grad = value_and_grad_fn(state.point)
        return update(state, value, grad, lower, upper, options)

    first = init(x, lower, upper, options.memory)
    return jax.lax.fori_loop(0, evaluations, step, first)


def projected_gradient(
    x: Array, grad: Array, lower: ArrayLike, upper: ArrayLike
) -> Array:
    """The largest coordinate of the projected step of minus the gradient, [].

    >>> x, grad = jnp.array([0.0, 0.5]), jnp.array([3.0, 0.2])
    >>> rj.optim.lbfgsb.projected_gradient(x, grad, 0, 1)
    Array(0.2, dtype=float32)
    """
    return jnp.max(jnp.abs(jnp.clip(x - grad, lower, upper) - x), initial=0)
