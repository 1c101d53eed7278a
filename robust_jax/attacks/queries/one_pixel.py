"""The one-pixel attack: differential evolution of a pixel's place and colour."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax.attacks.skeletons.common import nothing_seen, until_won
from robust_jax.attacks.skeletons.minimum_norm import box_ends
from robust_jax.core import checks, incumbent
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.images import as_image, from_image, image_shape
from robust_jax.core.margin import verdict
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)
from robust_jax.losses import objectives

_FACTOR = 0.5  # Su et al. (2019), Sec. III-B.
_SPREAD = 0.5  # Their colours start from N(128, 127) of 255.


class Swarm(NamedTuple):
    """A population of changes; every number in [0, 1] of its range."""

    places: Array  # [P, pixels, 2] row and column
    colours: Array  # [P, pixels, C]


class PixelState(NamedTuple):
    """State of one example; `children` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key
    parents: Swarm
    values: Array  # [P] their objectives
    children: Swarm
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32, 0


@attack(
    "population",
    "pixels",
    paper="Su et al., TEVC 2019",
    norms=("l0",),
    sees=SCORES,
    per_step=(400, 0),
)  # They decide shapes.
def one_pixel(
    generations: int = 100,
    population: int = 400,
    pixels: int = 1,
    objective: objectives.Objective = objectives.cross_entropy,
) -> Attack:
    """Score-based, L0: places and colours of a few pixels, by differential evolution.

    A child is parent a plus half the difference of parents b and c, all drawn at
    random; it takes the place of its own parent if its objective is larger.
    Guarantees: every point asked about is feasible; an adversarial one is never lost;
        at least as strong as the clean input; deterministic in key; dtype kept.
    Edge cases: eps below pixels * channels is kept by projecting; numbers that leave
        their range are clipped to it; needs a finite box.

    Args:
        generations: each of `population` evaluations, the first one included, >= 1.
        population: >= 4.
        pixels: that change, >= 1.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside these ranges; while tracing, another norm.
    References: Su et al., "One Pixel Attack for Fooling Deep Neural Networks", IEEE
        Trans. Evolutionary Computation 2019, Sec. III. Differs from it in: the
        logarithm of the probability is climbed, the same order.

    >>> rj.attacks.one_pixel(generations=50, population=100, pixels=3)
    one_pixel(generations=50, population=100, pixels=3)
    """
    for name, value in (("generations", generations), ("pixels", pixels)):
        checks.positive_integer(name, value)
    checks.positive_integer("population", population)
    if population < 4:
        raise ValueError(f"population={population}; expected an integer >= 4")

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> PixelState:
        chex.assert_rank(jax.tree.leaves(goal), 0)  # One example; vmap makes many.
        checks.threat("one_pixel", threat, "l0")
        swarm = _first(jax.random.fold_in(key, 0), x, population, pixels)
        return PixelState(
            x=x,
            goal=goal,
            key=key,
            parents=swarm,
            values=jnp.full(population, -jnp.inf, jnp.float32),
            children=swarm,
            **nothing_seen(x),
        )

    def step(logits_fn: LogitsFn, threat: Threat, state: PixelState) -> PixelState:
        return _next_generation(objective, logits_fn, threat, state)

    return until_won(init, step, generations)


def _next_generation(
    objective: objectives.Objective,
    logits_fn: LogitsFn,
    threat: Threat,
    state: PixelState,
) -> PixelState:
    """Judges the children, keeps the better of each pair, and breeds anew."""

    def judged(child: Swarm) -> tuple[Incumbent, Array]:
        point = threat.project(_painted(threat, state.x, child), state.x)
        logits = logits_fn(point)
        score = verdict(logits, state.goal)
        found = Incumbent(point, score, threat.distance(point, state.x))
        return found, objective(logits, state.goal)

    found, values = jax.vmap(judged)(state.children)
    top = jnp.argmax(found.margin)
    better = values > state.values
    parents = jax.tree.map(
        lambda new, old: jnp.where(better[:, None, None], new, old),
        state.children,
        state.parents,
    )
    key = jax.random.fold_in(state.key, state.i + 1)
    return state._replace(
        parents=parents,
        values=jnp.where(better, values, state.values),
        children=_children(key, parents),
        best=incumbent.strongest(state.best, jax.tree.map(lambda a: a[top], found)),
        i=state.i + 1,
        forwards=state.forwards + len(values),
    )


def _first(key: Key, x: Array, population: int, pixels: int) -> Swarm:
    place_key, colour_key = jax.random.split(key)
    channels = image_shape(x.shape)[2]
    colours = jax.random.normal(colour_key, (population, pixels, channels), jnp.float32)
    return Swarm(
        jax.random.uniform(place_key, (population, pixels, 2), jnp.float32),
        jnp.clip(0.5 + _SPREAD * colours, 0, 1),
    )


def _children(key: Key, parents: Swarm) -> Swarm:
    """Of three parents each, which differ from one another and from their own."""
    count = len(parents.places)
    # A random rotation of the circle of parents by three different amounts.
    shifts = jax.random.choice(key, count - 1, (3,), replace=False) + 1
    orders = (jnp.arange(count)[None] + shifts[:, None]) % count
    one, two, three = (jax.tree.map(lambda a, o=o: a[o], parents) for o in orders)
    return jax.tree.map(
        lambda a, b, c: jnp.clip(a + _FACTOR * (b - c), 0, 1), one, two, three
    )


def _painted(threat: Threat, x: Array, child: Swarm) -> Array:
    """x with the child's pixels, [*S]."""
    height, width, _ = image_shape(x.shape)
    low, high = (as_image(end) for end in box_ends(threat, x))
    image = as_image(x)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None]
    size = jnp.array([height, width])
    for place, colour in zip(child.places, child.colours, strict=True):
        row, column = jnp.minimum((place * size).astype(jnp.int32), size - 1)
        here = ((rows == row) & (columns == column))[..., None]
        image = jnp.where(here, low + colour[None, None] * (high - low), image)
    return from_image(image, x.shape).astype(x.dtype)
