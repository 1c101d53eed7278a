"""SimBA: one coordinate, or one wave, at a time."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax.attacks.queries import _frequencies as frequencies
from robust_jax.attacks.skeletons.random_search import SearchState, random_search
from robust_jax.core import checks
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.images import image_shape
from robust_jax.core.types import Array, Attack, Key, Threat
from robust_jax.losses import objectives


class Turn(NamedTuple):
    """Which direction is tried next, and which way."""

    order: Array  # [directions] int32, a permutation
    place: Array  # [] int32, of the direction in `order`
    upwards: Array  # [] bool


@attack(
    "side",
    paper="Guo et al., ICML 2019",
    norms=("linf", "l2"),
    sees=SCORES,
    per_step=(1, 0),
)  # It decides how many directions there are.
def simba(
    queries: int = 10_000,
    step_size: float = 0.2,
    side: int | None = None,
    objective: objectives.Objective = objectives.cross_entropy,
) -> Attack:
    """Score-based: steps along one orthonormal direction after the other.

    Directions come in a random order, and again in that order when all were tried.
    Each is first gone down, and up if that did not raise the objective. With `side`
    the directions are the cosine transform's waves of low frequency, else coordinates.
    Guarantees: see `random_search.random_search`. Every accepted step has length
    `step_size`, so that after n of them the Euclidean distance is at most its sqrt(n)
    fold.

    Args:
        queries: evaluations besides that of the clean input, >= 1; the first is of x.
        step_size: pixel units, > 0.
        side: waves along each axis, >= 1; None for coordinates.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside these ranges.
    References: Guo et al., "Simple Black-box Adversarial Attacks", ICML 2019, Alg. 1.
        Differs from the authors' code in: steps are projected onto the threat; waves
        are drawn from a fixed block of low frequencies, which theirs lets grow.

    >>> rj.attacks.simba(queries=1000, side=8)  # Low frequencies alone.
    simba(queries=1000, step_size=0.2, side=8)
    """
    checks.positive_number("step_size", step_size)
    if side is not None:
        checks.positive_integer("side", side)

    def start(key: Key, threat: Threat, x: Array) -> tuple[Array, Turn]:
        count = len(_waves(x, side)) if side else x.size
        order = jax.random.permutation(key, count).astype(jnp.int32)
        return x, Turn(order, jnp.zeros((), jnp.int32) - 1, jnp.ones((), bool))

    def propose(key: Key, threat: Threat, state: SearchState) -> tuple[Array, Turn]:
        turn = state.own
        index = turn.order[turn.place]
        if side is None:
            place = jnp.arange(state.x.size) == index
            direction = place.reshape(state.x.shape).astype(state.x.dtype)
        else:
            waves = jnp.asarray(_waves(state.x, side))
            direction = frequencies.wave(state.x.shape, *waves[index])
        size = jnp.where(turn.upwards, step_size, -step_size)
        return state.accepted + size * direction, turn

    def learn(own: Turn, trial: Turn, accepted: Array) -> Turn:
        """The next direction after a success or two failures; else the other way."""
        on = accepted | own.upwards
        place = jnp.where(on, (own.place + 1) % own.order.size, own.place)
        return own._replace(place=place, upwards=~on)

    return random_search(objective, start, propose, queries=queries, learn=learn)


def _waves(x: Array, side: int) -> np.ndarray:
    """(down, across, channel) of every wave, [directions, 3]."""
    height, width, channels = image_shape(x.shape)
    down, across = np.arange(min(side, height)), np.arange(min(side, width))
    grid = np.meshgrid(down, across, np.arange(channels), indexing="ij")
    return np.stack(grid, -1).reshape(-1, 3)
