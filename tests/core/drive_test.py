"""What the contract table of all attacks does not say about the drivers.

One two-class affine victim and batch shape, so that few programs are compiled.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core import compiling, drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims

N, SIZE, EPS, STEP = 12, 6, 0.2, 0.18
MODEL = victims.affine_victim((SIZE,), 2)
IMAGES = victims.inputs((SIZE,), N, seed=3)
RIGHT = victims.predicted(MODEL, IMAGES)
LABELS = np.where(np.arange(N) < 2, 1 - RIGHT, RIGHT)  # Two are wrong from the start.
GOAL = Untargeted(LABELS)
KEYS = lift.item_keys(0, np.arange(N))
SLOPES = np.where(LABELS == 0, 1, -1)[:, None] * np.diff(MODEL.args[0], axis=0)


def attack_of(steps):
    return attacks.pgd(steps, STEP, objectives.margin)


def attacked(steps, labels=LABELS, to_the_end=False):
    run = drive.hosted(attack_of(steps), to_the_end=to_the_end)
    return run(KEYS, MODEL, threats.Linf(EPS), IMAGES, Untargeted(labels))


@functools.cache
def stopped():
    return attacked(12)


def best_margins():
    """The closed form: every coordinate moves up its slope by eps, or to the box."""
    room = np.where(SLOPES > 0, 1 - IMAGES, IMAGES)
    clean = np.sum(SLOPES * IMAGES, axis=1)
    return clean + np.sum(np.abs(SLOPES) * np.minimum(EPS, room), axis=1)


def assert_same_bytes(ours, theirs, where=slice(None)):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(one)[where], np.asarray(other)[where])


def test_some_are_wrong_some_fall_and_some_hold():
    steps_taken = np.unique(stopped().backwards)
    assert steps_taken[0] == 0 and steps_taken[-1] == 13 and len(steps_taken) > 3
    assert 0 < (stopped().margin < 0).sum() < N


def test_more_steps_do_not_touch_a_finished_example():
    done = np.asarray(attacked(4).margin) >= 0
    assert 2 < done.sum() < N
    assert_same_bytes(attacked(4), stopped(), done)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_chunk_changes_no_bit(monkeypatch, chunk):
    monkeypatch.setattr(drive, "_CHUNK", chunk)
    assert_same_bytes(attacked(12), stopped())


@pytest.mark.parametrize(("chunk", "calls"), [(1, 1), (5, 5), (100, 13)])
def test_the_host_stops_at_the_first_look_at_which_all_are_finished(
    monkeypatch, chunk, calls
):
    monkeypatch.setattr(drive, "_CHUNK", chunk)
    programs, count = drive._host_programs(False), []
    advance = programs.advance
    monkeypatch.setattr(
        programs, "advance", lambda *state: count.append(1) or advance(*state)
    )
    result = attacked(12, labels=1 - RIGHT)
    assert len(count) == calls
    assert (result.forwards == 1).all()


def test_to_the_end_reaches_the_largest_margin():
    on = attacked(12, to_the_end=True)
    np.testing.assert_allclose(on.margin, best_margins(), rtol=1e-4, atol=1e-5)
    assert (on.margin >= stopped().margin).all()
    assert (on.margin > stopped().margin + 0.1).any()
    assert (on.forwards == 14).all() and (on.backwards == 13).all()
    never_won = np.asarray(stopped().margin) < 0
    assert_same_bytes(on, stopped(), never_won)


def test_to_the_end_goes_on_though_all_have_won(monkeypatch):
    monkeypatch.setattr(drive, "_CHUNK", 1)
    on = attacked(12, labels=1 - RIGHT, to_the_end=True)
    assert (on.margin > 0).all() and (on.backwards == 13).all()


def test_the_last_iterate_is_that_of_a_loop_written_by_hand():
    """It neither stops at a success nor keeps the best; NumPy moves and clips."""
    steps, step, eps = 5, 0.15, np.float32(EPS)
    attack = attacks.bim(steps, step, objectives.cross_entropy)
    run = jax.jit(jax.vmap(drive.last_iterate(attack), in_axes=(0, None, None, 0, 0)))
    x = IMAGES
    for _ in range(steps):
        ahead = x + np.float32(step) * eps * np.sign(SLOPES)
        x = np.clip(np.clip(ahead, IMAGES - eps, IMAGES + eps), 0, 1)
    ours = run(KEYS, MODEL, threats.Linf(EPS), IMAGES, GOAL)
    np.testing.assert_allclose(ours, x, atol=1e-6)
    has_won = np.asarray(stopped().margin) >= 0  # Where stopping would have shown.
    assert (np.abs(ours - stopped().x_adv)[has_won].max(axis=1) > 0.01).all()


def test_auto_lets_the_host_drive_on_cpu_only(monkeypatch):
    def kind(driver):
        return driver.__qualname__.partition(".")[0]

    assert kind(drive.auto(attack_of(12))) == "hosted"
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert kind(drive.auto(attack_of(12))) == "traced"


def test_compiler_options_are_for_cpu_alone(monkeypatch):
    options = compiling.compiler_options.__wrapped__  # Without its memory.
    on_cpu = options()
    compiled = jax.jit(lambda x: x + 1, compiler_options=on_cpu).lower(0.0).compile()
    assert compiled(1.0) == 2 and on_cpu == compiling.compiler_options()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert options() == {}


def test_an_xla_without_the_option_is_survived(monkeypatch):
    jit, tried = jax.jit, []

    def jit_without(function, compiler_options):
        tried.extend(compiler_options)
        renamed = {f"{name}_of_old": "" for name in compiler_options}
        return jit(function, compiler_options=renamed)

    monkeypatch.setattr(jax, "jit", jit_without)
    assert compiling.compiler_options.__wrapped__() == {}
    assert tried  # XLA itself has refused the name.


def test_models_as_arguments():
    assert drive.as_partial(MODEL) is MODEL
    plain = drive.as_partial(victims.wavy)
    assert isinstance(plain, Partial) and jax.tree.leaves(plain) == []
    np.testing.assert_array_equal(plain(jnp.zeros(2)), [0.0, 7.0])
    again = drive.as_partial(victims.wavy)  # The same program serves both.
    assert jax.tree.structure(plain) == jax.tree.structure(again)
