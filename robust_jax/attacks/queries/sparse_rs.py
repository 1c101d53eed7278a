"""Sparse-RS in L0: which coordinates move, and to which face of the box."""

import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.minimum_norm import box_ends
from robust_jax.attacks.skeletons.random_search import SearchState, random_search
from robust_jax.core import checks
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.narrow import coins, counted
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives
from robust_jax.threats.search import keep_largest

# The authors' code: from these queries on, of a search of 10,000, the share of the
# coordinates that change is divided so.
_FROM = (1, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)
_DIVISORS = (2.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)
_HORIZON = 10_000


@attack(paper="Croce et al., AAAI 2022", norms=("l0",), sees=SCORES, per_step=(1, 0))
def sparse_rs(
    queries: int = 5_000,
    initial_share: float = 0.3,
    objective: objectives.Objective = objectives.margin,
) -> Attack:
    """Score-based, L0: a set of coordinates at the faces of the box, changed at random.

    floor(eps) coordinates lie on the lower or upper face. A proposal puts a share of
    them back to x and moves as many others, each to a random face; the share falls in
    stages, at least one changes, and a single one does not stay on its face.
    Guarantees: see `random_search.random_search`.
    Edge cases: eps below 1 leaves x; with all coordinates in the set, all get new
    faces.

    Args:
        queries: evaluations besides that of the clean input, >= 1; the first is the
            start.
        initial_share: alpha_init of the paper, in (0, 1].
        objective: the quantity to climb.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Croce et al., "Sparse-RS: a versatile framework for query-efficient
        sparse black-box adversarial attacks", AAAI 2022, Alg. 2. Differs from the
        authors' code in: eps counts channels, theirs pixels.

    >>> rj.attacks.sparse_rs(queries=1000).steps
    1000
    """
    wanted = "a share in (0, 1]; 0.3 is the authors' for L0"
    checks.holds("initial_share", initial_share, lambda v: 0 < v <= 1, wanted)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, Array]:
        checks.threat("sparse_rs", threat, "l0")
        set_key, face_key = jax.random.split(key)
        moved = _some(set_key, jnp.ones(x.shape, bool), threat.eps)
        faces = _faces(face_key, threat, x)
        return jnp.where(moved, faces, x), moved

    def propose(key: Key, threat: Threat, state: SearchState) -> tuple[Array, Array]:
        out_key, in_key, face_key = jax.random.split(key, 3)
        x, moved = state.x, state.own
        share = initial_share / _divisor(state.i, queries)
        count = jnp.maximum(jnp.floor(share * jnp.minimum(threat.eps, x.size)), 1)
        back = _some(out_key, moved, count)
        # Where no other coordinate is left, those put back come in again.
        there = _some(in_key, ~moved, count)
        full = jnp.all(moved)
        kept, new = moved & ~back, jnp.where(full, back, there)
        faces = _faces(face_key, threat, x)
        faces = jnp.where((count <= 1) & (faces == x), _other(threat, x), faces)
        held = jnp.where(kept, state.accepted, x)
        return jnp.where(new, faces, held), kept | new

    return random_search(objective, start, propose, queries=queries)


def _divisor(query: Array, queries: int) -> Array:
    """What the initial share is divided by at a query, [] float."""
    scaled = query.astype(jnp.float32) * (_HORIZON / queries)
    stage = counted(scaled >= jnp.asarray(_FROM))
    return jnp.asarray((1.0, *_DIVISORS), jnp.float32)[stage]


def _some(key: Key, among: Array, count: Array | float) -> Array:
    """Marks floor(count) of the marked coordinates at random, or all of them; [*S]."""
    draws = jnp.where(
        among, jax.random.uniform(key, among.shape, jnp.float32, 0.5), 0.0
    )
    chosen = keep_largest(draws.reshape(-1), jnp.asarray(count, draws.dtype))
    return chosen.reshape(among.shape) & among


def _faces(key: Key, threat: Threat, x: Array) -> Array:
    """The lower or the upper face of every coordinate, at random; [*S]."""
    low, high = box_ends(threat, x)
    return jnp.where(coins(key, x.shape), high, low)


def _other(threat: Threat, x: Array) -> Array:
    """For a coordinate on a face of the box: the other face; [*S]."""
    low, high = box_ends(threat, x)
    return jnp.where(x == low, high, low)
