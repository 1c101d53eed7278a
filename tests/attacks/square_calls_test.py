"""Square spends fewer or wider calls on one and the same search, bit by bit.

The model computes with whole numbers that float32 holds exactly, so that no layout of
a batch can round differently.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.attacks.queries import (
    _square_l2_l1 as square_l2_l1,
    _square_linf as square_linf,
    _square_patterns as patterns,
)
from robust_jax.attacks.queries.square import square
from robust_jax.core import drive, stepping
from robust_jax.core.images import image_shape
from robust_jax.core.types import Untargeted
from tests import victims

QUERIES, HORIZON, KEYS = 50, 120, 6
MOVES = {
    "linf": square_linf.moves,
    "l2": square_l2_l1.l2_moves,
}
RADII = {"linf": 0.25, "l2": 0.9}
CASES = {  # Norm, shape, and how far the label leads at the image.
    "linf, one channel": ("linf", (8, 6), 3500),
    "linf, three channels": ("linf", (5, 7, 3), 13_000),
    "l2": ("l2", (7, 6, 3), 5000),
}


def whole_numbers(first, second, bias, x):
    hidden = jnp.abs(first @ jnp.round(x.ravel() * 255))
    return second @ hidden + bias


@functools.cache
def problem(case):
    """Model, image on whose faces a third of the pixels lie, label, threat."""
    norm, shape, lead = CASES[case]
    rng = np.random.default_rng(len(case))
    first = rng.integers(-2, 3, size=(12, int(np.prod(shape)))).astype(np.float32)
    second = rng.integers(-2, 3, size=(3, 12)).astype(np.float32)
    image = victims.inputs(shape, 1, seed=1, low=-0.25, high=1.25)[0].clip(0, 1)
    logits = second @ np.abs(first @ np.round(image.ravel() * 255))
    bias = np.zeros(3, np.float32)
    bias[0] = logits.max() - logits[0] + lead
    threat = jax.tree.map(np.float32, threats.by_name(norm)(RADII[norm]))
    return Partial(whole_numbers, first, second, bias), image, threat


class Plain(NamedTuple):
    accepted: jax.Array
    value: jax.Array
    best: jax.Array
    margin: jax.Array  # of the best


def plain_search(case, key):
    """One query after another, every one evaluated; which of them change nothing.

    Returns: the search at its end; per query: idle, rose, the state after it.
    """
    model, image, threat = problem(case)
    shares = patterns.shares(0.8)
    shape = image_shape(image.shape)
    moves = MOVES[CASES[case][0]](shares, shape)

    def margin(x):
        logits = model(x)
        return jnp.max(logits[1:]) - logits[0]

    def query(state, number):
        key_now = jax.random.fold_in(key, number)
        stage = patterns.stage(patterns.halvings(HORIZON), number - 1)
        sides = jnp.asarray(moves.sides)[stage]
        windows = patterns.draw_windows(key_now, sides, shape)
        draw = patterns.Draw(number, stage, sides, windows)
        point = moves.paint(threat, jnp.asarray(image), state.accepted, draw)
        value = margin(point)
        rose = (value > state.value) | ((value >= 0) & (state.margin < 0))
        stronger = value > state.margin
        after = Plain(
            jnp.where(rose, point, state.accepted),
            jnp.where(rose, value, state.value),
            jnp.where(stronger, point, state.best),
            jnp.where(stronger, value, state.margin),
        )
        idle = jnp.all(point == state.accepted)
        name = jnp.append(windows.signs, jnp.append(windows.offsets[0], stage))
        return after, (idle, rose, after, name)

    start = moves.start(jax.random.fold_in(key, 0), threat, jnp.asarray(image))
    first = Plain(start, margin(start), start, margin(start))
    return jax.lax.scan(query, first, jnp.arange(1, QUERIES + 1))


def keys():
    return jax.vmap(jax.random.key)(jnp.arange(KEYS))


@functools.cache
def plain(case):
    found = jax.jit(jax.vmap(functools.partial(plain_search, case)))(keys())
    return jax.tree.map(np.asarray, found)


@functools.cache
def attacked(case, proposals):
    """The state after the whole budget, and after the first success, [KEYS]."""
    model, image, threat = problem(case)
    attack = square(QUERIES, horizon=HORIZON, proposals=proposals)

    def run(key, to_the_end):
        state = attack.init(
            key, threat, jnp.asarray(image), Untargeted(jnp.int32(0)), jnp.zeros(2)
        )
        step = functools.partial(stepping.advance, attack, model, threat)

        def call(_, state):
            after = step(state, to_the_end=True)
            over = ~to_the_end & attack.done(threat, state)
            return jax.tree.map(lambda a, b: jnp.where(over, a, b), state, after)

        return jax.lax.fori_loop(0, attack.steps, call, state)._replace(key=0)

    both = jax.vmap(jax.vmap(run, (0, None)), (None, 0))
    states = jax.jit(both)(keys(), np.array([True, False]))
    whole, stopped = (jax.tree.map(lambda a: a[k], states) for k in (0, 1))  # noqa: B023
    return whole, stopped


def assert_same_search(case, proposals):
    end, (_, _, after, _) = plain(case)
    whole, stopped = attacked(case, proposals)
    same = np.testing.assert_array_equal
    if case == "l2":  # Pyramids are sums, which round as the batch is laid out.
        same = functools.partial(np.testing.assert_allclose, atol=1e-5)
    same(whole.accepted, end.accepted)
    same(whole.value, end.value)
    same(whole.best.x, end.best)
    same(whole.best.margin, end.margin)
    assert (np.asarray(whole.i) == QUERIES + 1).all()
    for k, margins in enumerate(after.margin):
        won = margins >= 0
        last = int(np.argmax(won)) if won.any() else QUERIES - 1
        same(stopped.best.x[k], after.best[k, last])
        same(stopped.best.margin[k], margins[last])


@pytest.mark.parametrize(
    ("case", "proposals"),
    [
        ("linf, one channel", 1),
        ("linf, one channel", 3),
        ("linf, three channels", 3),
        ("l2", 3),
    ],
)
def test_search_is_that_of_one_query_after_another(case, proposals):
    assert_same_search(case, proposals)


def test_cases_are_hard_enough_to_tell_searches_apart():
    rises, wins = [], []
    for case in CASES:
        end, (idle, rose, _, _) = plain(case)
        assert idle.any() == case.startswith("linf")
        assert ((rose.sum(1) > 3) & (rose.sum(1) < QUERIES / 2)).all()
        rises.append(rose[:, 10:].sum())
        wins.append((end.margin >= 0).mean())
    assert min(rises) > 0 and min(wins) > 0 and max(wins) < 1


def calls_of(idle, rose, names, proposals, spare):
    """How many calls a search takes, from its queries alone; query q at index q - 1.

    Without names, a change that the point has refused before is not known again.
    """
    last, calls, since = 0, 1, 0  # `since`: the query that was accepted last
    while last < QUERIES:
        ahead = np.arange(last + 1, last + 1 + proposals + spare)
        inside, at = ahead <= QUERIES, np.minimum(ahead, QUERIES) - 1
        refused = {} if names is None else set(map(tuple, names[since:last].tolist()))
        again = [names is not None and tuple(names[k].tolist()) in refused for k in at]
        passable = inside & (idle[at] | again)
        passed = passable & (np.cumsum(passable) <= spare)
        looked_at = [q for q in ahead[~passed][:proposals] if q <= QUERIES]
        if not looked_at:
            return calls
        calls += 1
        accepted = [q for q in looked_at if rose[q - 1]]
        last = accepted[0] if accepted else looked_at[-1]
        since = last if accepted else since
    return calls


@pytest.mark.parametrize(
    ("case", "proposals", "spare"),
    [
        ("linf, one channel", 1, 3),
        ("linf, one channel", 3, 3),
        ("linf, three channels", 3, 3),
        ("l2", 3, 0),
    ],
)
def test_forwards_are_those_of_the_calls_made(case, proposals, spare):
    _, (idle, rose, _, names) = plain(case)
    calls = [
        calls_of(idle[k], rose[k], None if case == "l2" else names[k], proposals, spare)
        for k in range(KEYS)
    ]
    whole, stopped = attacked(case, proposals)
    np.testing.assert_array_equal(whole.forwards, proposals * np.array(calls))
    assert (np.asarray(stopped.forwards) <= whole.forwards).all()
    assert max(calls) < QUERIES + 1


@pytest.mark.parametrize(("queries", "forwards"), [(7, 2), (8, 3)])
def test_where_nothing_can_change_every_fourth_query_is_evaluated(queries, forwards):
    model, image, threat = problem("linf, one channel")
    run = drive.run(square(queries), to_the_end=True)
    still = threat.replace(eps=jnp.float32(0))
    result = jax.jit(run)(jax.random.key(0), model, still, image, Untargeted(0))
    assert result.forwards == 1 + forwards  # The clean input besides.
    np.testing.assert_array_equal(result.x_adv, image)
