"""Sparse-RS for patches: where the square lies, and what is painted on it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from robust_jax.attacks.queries import _square_patterns as patterns
from robust_jax.attacks.skeletons.common import chosen
from robust_jax.attacks.skeletons.random_search import SearchState, random_search
from robust_jax.core import checks
from robust_jax.core.factories import factory
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.images import as_image, from_image
from robust_jax.core.narrow import coins
from robust_jax.core.types import Array, Attack, Key, PlacedThreat, Towards
from robust_jax.losses import objectives

_HORIZON = 10_000
_PERIOD, _TARGETED_PERIOD = 4, 10  # Proposals of which one moves the patch.
_REACH = 0.75  # Of the image's height, at first.


class Painted(NamedTuple):
    """A patch: what is painted, and where it lies."""

    canvas: Array  # [*S], of which the upper left corner counts
    at: Array  # [2] int32


@attack(
    paper="Croce et al., AAAI 2022",
    norms=("patch",),
    sees=SCORES,
    per_step=(1, 0),
    derives=True,
)
def sparse_rs_patch(
    queries: int = 10_000,
    initial_share: float = 0.4,
    objective: objectives.Objective = objectives.margin,
) -> Attack:
    """Score-based, for the threat `Patch`: moves the patch, and repaints parts of it.

    A patch of vertical stripes lies at a random place. Every fourth proposal (tenth
    towards a target) moves it, by less and less; the others paint a square of it in one
    colour of the box's corners, smaller and smaller, as the Square Attack does.
    Guarantees: see `random_search.random_search`.
    Edge cases: eps below 1 leaves x.

    Args:
        queries: evaluations besides that of the clean input, >= 1; the first is the
            start.
        initial_share: of the patch's pixels that a proposal repaints at first, in
            (0, 1].
        objective: the quantity to climb.
    Raises: ValueError: arguments outside these ranges; while tracing, another threat.
    References: Croce et al., "Sparse-RS: a versatile framework for query-efficient
        sparse black-box adversarial attacks", AAAI 2022, Alg. 3. Differs from the
        authors' code in: starts from stripes, one of its options, by default it paints
        1,000 squares; changes of a single channel are left out.

    >>> rj.attacks.by_name("sparse_rs_patch").norms
    ('patch',)
    """
    wanted = "a share in (0, 1]; 0.4 is the authors' for patches"
    checks.holds("initial_share", initial_share, lambda v: 0 < v <= 1, wanted)
    checks.positive_integer("queries", queries)
    halvings = patterns.halvings(queries)
    return _sparse_rs_patch(queries, halvings, initial_share, objective)


@factory()
def _sparse_rs_patch(
    queries: int,
    halvings: tuple[int, ...],
    initial_share: float,
    objective: objectives.Objective,
) -> Attack:

    def start(key: Key, threat: PlacedThreat, x: Array) -> tuple[Array, Painted]:
        checks.threat("sparse_rs_patch", threat, "patch")
        place_key, colour_key = jax.random.split(key)
        image = as_image(x)
        stripes = coins(colour_key, (1, *image.shape[1:]))
        canvas = _faces(threat, x, jnp.broadcast_to(stripes, image.shape))
        at = jax.random.randint(place_key, (2,), 0, threat.room(x) + 1, jnp.int32)
        return threat.paste(x, canvas, at), Painted(canvas, at)

    def propose(
        key: Key, threat: PlacedThreat, state: SearchState
    ) -> tuple[Array, Painted]:
        place_key, window_key, colour_key = jax.random.split(key, 3)
        targeted = not hasattr(state.goal, "label") or isinstance(state.goal, Towards)
        period = _TARGETED_PERIOD if targeted else _PERIOD
        left = 1 - state.i / queries
        moved = _moved(place_key, threat, state.x, state.own, left)
        share = initial_share * 0.5 ** patterns.stage(halvings, state.i)
        painted = _repainted(
            (window_key, colour_key), threat, state.x, state.own, share
        )
        trial = chosen(state.i % period == 0, moved, painted)
        return threat.paste(state.x, *trial), trial

    return random_search(objective, start, propose, queries=queries)


def _moved(
    key: Key, threat: PlacedThreat, x: Array, own: Painted, left: Array
) -> Painted:
    """By up to a share of the height that falls with the budget; at least one pixel."""
    reach = jnp.floor(_REACH * left * as_image(x).shape[0]).astype(jnp.int32)
    reach = jnp.maximum(reach, 1)
    step = jax.random.randint(key, (2,), -reach, reach + 1, jnp.int32)
    return own._replace(at=jnp.clip(own.at + step, 0, threat.room(x)))


def _repainted(
    keys: tuple[Key, Key], threat: PlacedThreat, x: Array, own: Painted, share: Array
) -> Painted:
    """With one square of the patch in a corner of the colours."""
    image = as_image(own.canvas)
    side = jnp.minimum(jnp.floor(threat.eps), min(image.shape[:2])).astype(jnp.int32)
    size = jnp.maximum(jnp.floor(share**0.5 * side).astype(jnp.int32), 1)
    last = jnp.maximum(side - size, 0)
    first = jax.random.randint(keys[0], (2,), 0, last + 1, jnp.int32)
    rows, columns = (jnp.arange(n) for n in image.shape[:2])
    in_rows = (rows >= first[0]) & (rows < first[0] + size)
    in_columns = (columns >= first[1]) & (columns < first[1] + size)
    colour = coins(keys[1], image.shape[2:])
    colours = _faces(threat, x, jnp.broadcast_to(colour, image.shape))
    inside = (in_rows[:, None] & in_columns[None])[..., None]
    canvas = jnp.where(inside, as_image(colours), image)
    return own._replace(canvas=from_image(canvas, x.shape))


def _faces(threat: PlacedThreat, x: Array, upper: Array) -> Array:
    """The upper face of the box where marked [H, W, C], else the lower one; [*S]."""
    marks = from_image(upper, x.shape)
    return jnp.where(marks, threat.upper, threat.lower).astype(x.dtype)
