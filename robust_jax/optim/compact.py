"""The compact form of the L-BFGS matrix: products and solves without the matrix.

B = theta (I - W M W^T), where W [n, 2m] holds the last m pairs of moves s and changes
of the gradient y. Each pair is scaled to s @ y = 1, then s by sqrt(theta) and y by its
inverse, which leaves B alone; the diagonal of the paper's D is one, and all entries
are near the size that float32 knows best. Empty places count as pairs of zeros.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.core.types import Array


class Pairs(NamedTuple):
    """The last m pairs, in a ring."""

    rows: Array  # [2m, n]: all s, then all y, each pair scaled to s @ y = 1
    s_dot_s: Array  # [m, m]
    s_dot_y: Array  # [m, m]
    born: Array  # [m] int32, the number of the iteration; -1 where there is none
    theta: Array  # [], the scale of the first guess


class Model(NamedTuple):
    """B, ready for use."""

    rows: Array  # [2m, n], as in `Pairs`
    weight: Array  # [2m], which turns rows into W^T; zero where there is no pair
    lower: Array  # [m, m], s_i @ y_j for i newer than j
    inner: Array  # [m, m], S^T S
    middle: Array  # [2m, 2m], M
    theta: Array  # []


def no_pairs(x: Array, memory: int) -> Pairs:
    """Room for `memory` pairs of x's size and dtype."""
    square = jnp.zeros((memory, memory), x.dtype)
    rows = jnp.zeros((2 * memory, x.size), x.dtype)
    born = jnp.full(memory, -1, jnp.int32)
    return Pairs(rows, square, square, born, jnp.ones((), x.dtype))


def forget(pairs: Pairs, condition: Array) -> Pairs:
    """No pairs, if the condition [] holds."""
    return pairs._replace(
        born=jnp.where(condition, -1, pairs.born),
        theta=jnp.where(condition, 1, pairs.theta),
    )


def with_pair(pairs: Pairs, s: Array, y: Array, keep: Array, now: Array) -> Pairs:
    """The pairs with s and y [n] in the place of the oldest.

    Args:
        keep: [] bool, whether to; needs s @ y > 0.
        now: [] int32, the number of the iteration.
    """
    memory = pairs.born.shape[0]
    curvature = s @ y
    scale = jax.lax.rsqrt(jnp.where(keep, curvature, 1))
    s, y = s * scale, y * scale
    here = keep & (jnp.arange(memory) == jnp.argmin(pairs.born))
    with_s, with_y = pairs.rows @ s, (pairs.rows @ y)[:memory]
    both = jnp.concatenate([here, here])[:, None]
    pair = jnp.where(jnp.arange(2 * memory)[:, None] < memory, s, y)
    row, column = here[:, None], here[None, :]
    ss = jnp.where(row, with_s[None, :memory], pairs.s_dot_s)
    ss = jnp.where(column, with_s[:memory, None], ss)
    sy = jnp.where(row, with_s[None, memory:], pairs.s_dot_y)
    sy = jnp.where(column, with_y[:, None], sy)
    return Pairs(
        rows=jnp.where(both, pair, pairs.rows),
        s_dot_s=jnp.where(row & column, s @ s, ss),
        s_dot_y=jnp.where(row & column, 1, sy),
        born=jnp.where(here, now, pairs.born),
        theta=jnp.where(keep, y @ y, pairs.theta),
    )


def model(pairs: Pairs) -> Model:
    """B of the pairs: theta times the identity if there are none."""
    known = pairs.born >= 0
    newer = pairs.born[:, None] > pairs.born[None, :]
    both = known[:, None] & known[None, :]
    lower = jnp.where(newer & both, pairs.s_dot_y, 0)
    inner = jnp.where(both, pairs.theta * pairs.s_dot_s, 0)
    definite = inner + lower @ lower.T + jnp.diag(jnp.where(known, 0, 1))
    root = jnp.sqrt(pairs.theta)
    weight = jnp.concatenate([known * root, known / root])
    # The blocks of M by elimination, all of them from one inverse [m, m].
    identity = jnp.eye(known.size, dtype=inner.dtype)
    upper_left = solve(definite, identity)
    upper_right = upper_left @ lower
    lower_right = lower.T @ upper_right - identity
    middle = jnp.block([[upper_left, upper_right], [upper_right.T, lower_right]])
    return Model(pairs.rows, weight, lower, inner, middle, pairs.theta)


def onto(model: Model, v: Array) -> Array:
    """W^T v [2m]."""
    return model.weight * (model.rows @ v)


def product(model: Model, a: Array, wa: Array, b: Array, wb: Array) -> Array:
    """a @ B @ b, where wa and wb are W^T a and W^T b."""
    return model.theta * (a @ b - wa @ (model.middle @ wb))


def step_on(model: Model, free: Array, grad: Array, z: Array, wz: Array) -> Array:
    """From z, the way to B's minimum over the free coordinates, [n]; zero elsewhere.

    Minimises grad @ d + d @ B @ d / 2 over d that equal z where they are not free, and
    gives d - z. Eqs. 5.7 to 5.11 of Byrd et al.; the 2m by 2m system is solved in two
    halves that are positive definite.
    """
    memory = model.lower.shape[0]
    rows = jnp.where(free, model.rows, 0)
    gram = (rows @ rows.T) * model.weight[:, None] * model.weight[None, :]
    gram_s, gram_sy = gram[:memory, :memory], gram[:memory, memory:]
    pulled = jnp.where(free, grad + model.theta * z, 0)
    across = model.middle @ wz
    # W_F^T times the gradient of the model at z.
    p = model.weight * (model.rows @ pulled) - model.theta * (gram @ across)
    head = jnp.eye(memory, dtype=grad.dtype) + gram[memory:, memory:]
    cross = model.lower - gram_sy
    missing = jnp.diag(jnp.where(model.weight[:memory] > 0, 0, 1)).astype(grad.dtype)
    solved = solve(head, jnp.concatenate([cross.T, p[memory:, None]], axis=1))
    schur = model.inner - gram_s + missing + cross @ solved[:, :memory]
    v = solve(schur, (p[:memory] + cross @ solved[:, memory])[:, None])[:, 0]
    u = solved[:, :memory] @ v - solved[:, memory]
    coefficients = jnp.concatenate([v, u]) - model.theta * across
    full = pulled + (model.weight * coefficients) @ rows
    return -full / model.theta


def solve(matrix: Array, right: Array) -> Array:
    """The solution of matrix @ x = right, for a positive definite matrix [m, m].

    Gauss and Jordan's elimination without pivoting, vectorised by vmap: a batch of
    LAPACK calls goes one by one.
    """
    size = matrix.shape[0]
    index = jnp.arange(size)

    def eliminate(k: Array, table: Array) -> Array:
        row = table[k] / table[k, k]
        column = jnp.where(index == k, 0, table[:, k])
        return jnp.where(
            (index == k)[:, None], row[None], table - column[:, None] * row[None]
        )

    table = jnp.concatenate([matrix, right], axis=1)
    return jax.lax.fori_loop(0, size, eliminate, table)[:, size:]
