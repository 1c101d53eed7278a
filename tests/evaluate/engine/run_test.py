"""What the engine promises beside its findings: slots are full, nothing is compiled
twice, memory is that of the slots, and an interruption loses nothing."""

import functools
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks
from robust_jax.core import exports
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import Layout, Stage, evaluation, robustness
from robust_jax.evaluate.audit import CHECKS
from robust_jax.evaluate.engine import (
    Entry,
    Journal,
    journal,
    programs,
    run,
    transitions,
)
from robust_jax.losses import objectives
from tests import victims
from tests.evaluate import invariance_cases as cases
from tests.evaluate.engine.journal_test import mistakes
from tests.evaluate.invariance_cases import PLANS, TILE, evaluated, findings

FEW = 200
EACH = pytest.mark.parametrize("name", PLANS)


@functools.cache
def whole(name, count=FEW):
    return evaluated(name, slice(0, count))


def assert_same(ours, theirs):
    for field, value in findings(theirs).items():
        np.testing.assert_array_equal(findings(ours)[field], value, err_msg=field)


class Stop(Exception):
    """What a progress callback raises to interrupt an evaluation."""


def after(looks, act):
    """A progress callback that acts at one look, however long was compiled before."""
    count = itertools.count(1)

    def on_progress(progress):
        if progress.stage != "compilation" and next(count) == looks:
            act()

    return on_progress


def stop():
    raise Stop


@EACH
def test_an_interrupted_evaluation_goes_on_to_the_same_result(name, tmp_path):
    for looks in (8, 9):  # Twice interrupted, somewhere inside.
        with pytest.raises(Stop):
            evaluated(
                name, slice(0, FEW), journal=tmp_path, on_progress=after(looks, stop)
            )
    kept = [e for part in tmp_path.glob("part-*.npz") for e in np.load(part)["place"]]
    stage = PLANS[name][0]
    goals = stage.goals(cases.LABELS[:1], np.zeros((1, cases.CLASSES)))
    assert 0 < len(kept) < FEW * len(goals) * stage.restarts
    resumed = evaluated(name, slice(0, FEW), journal=tmp_path)
    assert_same(resumed, whole(name))
    for report, file in ((resumed, "resumed.npz"), (whole(name), "whole.npz")):
        report.write_examples(tmp_path / file)
    ours, theirs = (tmp_path / "resumed.npz", tmp_path / "whole.npz")
    assert ours.read_bytes() == theirs.read_bytes()
    # What was kept did not run again: this session has spent less than a whole one.
    spent = resumed.stages[0].spent_forwards.sum()
    assert spent < whole(name).stages[0].spent_forwards.sum()


def test_a_killed_process_leaves_whole_parts(tmp_path):
    program = f"""
import os, signal
from robust_jax.evaluate.engine import journal
from tests.evaluate import invariance_cases as cases
journal._EVERY = 0.0  # Every finished item is written at once.
looks = 0
def on_progress(progress):
    global looks
    looks += progress.stage != "compilation"
    if looks == 6:
        os.kill(os.getpid(), signal.SIGKILL)
cases.evaluated("fab", slice(0, {FEW}), journal={str(tmp_path)!r}, on_progress=on_progress)
"""  # noqa: E501
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=900)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("part-*.npz"))) > 3
    resumed = evaluated("fab", slice(0, FEW), journal=tmp_path)
    assert_same(resumed, whole("fab"))


def test_a_journal_of_another_evaluation_is_refused(tmp_path):
    evaluated("square", slice(0, 20), journal=tmp_path)
    with pytest.raises(ValueError, match="was begun for another evaluation .examples"):
        evaluated("square", slice(0, 21), journal=tmp_path)
    with pytest.raises(ValueError, match="another evaluation .seed was 0, is 1"):
        evaluated("square", slice(0, 20), journal=tmp_path, seed=1)
    same = Stage("square", attacks.square(40, 0.5))  # By its name and steps.
    with pytest.raises(ValueError, match="another evaluation .programs of the attacks"):
        robustness(
            cases.NET,
            cases.IMAGES[:20],
            cases.LABELS[:20],
            cases.THREAT,
            plan=(same,),
            layout=Layout(tile=TILE),
            audit=False,
            journal=tmp_path,
        )


@pytest.fixture(scope="module")
def journals(tmp_path_factory):
    """One that was interrupted, of some parts, and one of another radius."""
    folder = tmp_path_factory.mktemp("journals")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal, "_EVERY", 0.0)
        with pytest.raises(Stop):
            evaluated(
                "fab",
                slice(0, FEW),
                journal=folder / "ours",
                on_progress=after(8, stop),
            )
        with pytest.raises(Stop):
            evaluated(
                "fab",
                slice(0, FEW - 1),
                journal=folder / "theirs",
                on_progress=after(8, stop),
            )
    return folder / "ours", folder / "theirs"


@pytest.mark.parametrize(
    "seeds", [range(24), pytest.param(range(24, 300), marks=pytest.mark.full)]
)
def test_a_damaged_journal_is_refused_or_gives_the_same_result(
    tmp_path, journals, seeds
):
    ends = []
    for seed in seeds:
        folder = shutil.copytree(journals[0], tmp_path / f"{seed}")
        kind = mistakes(folder, journals[1], random.Random(seed))
        try:
            found = evaluated("fab", slice(0, FEW), journal=folder)
        except ValueError as refused:
            assert str(refused).startswith("journal="), refused
            ends.append((kind, "refused"))
        else:
            assert_same(found, whole("fab"))
            ends.append((kind, "same"))
    assert {end for _, end in ends} == {"refused", "same"}


def test_the_journal_writes_at_least_every_thirty_seconds(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Journal(tmp_path, {"seed": 0})
    for now[0], parts in ((10, 0), (29, 0), (31, 1), (60, 1), (62, 2)):
        kept.add(Entry(0, now[0], 0, 0.5, 3, 2, cases.IMAGES[0]))
        assert len(list(tmp_path.glob("part-*.npz"))) == parts


def test_a_time_limit_gives_an_honest_partial_report(tmp_path):
    report = evaluated("apgd", slice(0, FEW), limit_minutes=1e-9, journal=tmp_path)
    assert report.unfinished > 0 and not report.passed
    assert "not to be cited: partial" in report.citation()
    assert "at most" in report.citation()
    held = report.winner == -1
    assert held.sum() >= (whole("apgd").winner == -1).sum()
    assert_same(evaluated("apgd", slice(0, FEW), journal=tmp_path), whole("apgd"))
    with pytest.raises(ValueError, match="limit_minutes=0; expected"):
        evaluated("apgd", slice(0, 5), limit_minutes=0)


def judged_with_limit(plan, **options):
    few = slice(0, 2 * TILE)
    given = cases.NET, cases.IMAGES[few], cases.LABELS[few], cases.THREAT
    return robustness(*given, plan=plan, layout=Layout(tile=TILE), **options)


def test_after_the_limit_no_stage_and_no_check_is_begun(monkeypatch):
    now, begun = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        evaluation, "run_stage", lambda attack, *_, **__: begun.append(attack)
    )

    def on_progress(progress):
        now[0] += 3600.0 * (progress.stage == "compilation")

    plan = (*PLANS["apgd"], *PLANS["fab"], *PLANS["square"])
    options = {"limit_minutes": 30, "on_progress": on_progress}
    report = judged_with_limit(plan, **options)
    assert begun == [] and report.unfinished == 2 * TILE * (4 + 3 + 1)
    audit = report.audit
    assert (audit.undone, audit.forwards) == (len(CHECKS), 0) and not audit.passed
    assert f"{len(CHECKS)} of them for want of time" in str(audit)
    assert "partial" in report.citation() and report.claims.n == 0


def test_nobody_waits_for_a_program_beyond_the_limit(monkeypatch):
    """The one that is being compiled, for ever here, is left behind."""
    over = threading.Event()
    monkeypatch.setattr(programs, "_built", lambda traced: over.wait(60))
    plan = (Stage("bim", attacks.bim(3, objective=objectives.dlr)), *PLANS["fab"])
    start = time.perf_counter()
    try:
        report = judged_with_limit(plan, limit_minutes=0.02, audit=False)
        assert time.perf_counter() - start < 10
    finally:
        over.set()
    assert report.unfinished == 2 * TILE * (1 + 3)


@EACH
def test_slots_are_nine_tenths_full(name):
    """With looks as frequent as these short attacks ask for."""
    layout = Layout(tile=TILE, chunk=1)
    (stage,) = evaluated(name, layout=layout).stages
    assert stage.occupancy > 0.9


def test_what_a_limit_interrupts_was_spent_all_the_same(monkeypatch):
    """The one chunk that ran before the limit, of every slot that held an item."""
    looks = itertools.count()  # The clock: an hour passes at each look but the first.
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def on_progress(progress):
        if progress.stage == "apgd":
            now[0] = 3600.0 * next(looks)

    report = evaluated(
        "apgd",
        slice(0, FEW),
        layout=Layout(tile=TILE, tiles=1),
        limit_minutes=30,
        on_progress=on_progress,
    )
    assert report.unfinished > 0
    assert report.stages[0].spent_forwards.sum() >= TILE


def test_nothing_is_compiled_after_the_first_evaluation():
    victims.two_layer_victim(cases.SHAPE, cases.CLASSES)  # Warm.
    evaluated("apgd", slice(0, FEW))
    compiled = []
    listener = lambda event, seconds, **_: (  # noqa: E731
        compiled.append(event) if "backend_compile" in event else None
    )
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        jax.jit(lambda x: x * 2.5 + 1)(1.0)
        assert len(compiled) == 1  # The listener listens.
        net = victims.two_layer_victim(cases.SHAPE, cases.CLASSES, seed=4, scale=3.0)
        original, cases.NET = cases.NET, net
        try:
            evaluated("apgd", slice(100, 333), seed=5)
        finally:
            cases.NET = original
        assert len(compiled) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)


def test_device_memory_is_that_of_the_slots():
    def most(count):
        held = []
        evaluated(
            "fab",
            slice(0, count),
            on_progress=lambda _: held.append(
                sum(array.nbytes for array in jax.live_arrays())
            ),
        )
        return max(held)

    few = most(100)
    images = 900 * np.prod(cases.SHAPE) * 4
    assert most(1000) - few < images / 4


def test_a_looped_chunk_finds_what_the_host_drives_to():
    for name in PLANS:
        layout = Layout(tile=TILE, loops=True)
        looped = evaluated(name, slice(0, FEW), layout=layout)
        assert (looped.winner == whole(name).winner).mean() > 0.99
        np.testing.assert_allclose(
            looped.best_margin, whole(name).best_margin, atol=1e-4
        )


@EACH
def test_chunks_export_for_cpu_cuda_and_tpu(name):
    attack = PLANS[name][0].attack
    model, n = cases.NET, 4

    def run(attack, order, weights, count):
        slots, live = transitions.fresh(attack, order), jnp.ones(n, bool)
        bound = Partial(victims.two_layers, weights)
        slots = transitions.looped(attack, bound, slots, live, count)
        if attack.judge is not None:
            slots = transitions.judged(attack, bound, slots, live)
        slots = transitions.refilled(attack, slots, ~live, order)
        index = jnp.arange(n, dtype=jnp.int32)
        return transitions.exchanged(attack, slots, slots, live, index)

    order = transitions.Inputs(
        np.zeros((n, 2), np.uint32),
        cases.IMAGES[:n],
        Untargeted(cases.LABELS[:n]),
        cases.THREAT.replace(
            eps=np.full(n, 0.1, np.float32),
            lower=np.zeros(n, np.float32),
            upper=np.ones(n, np.float32),
        ),
        np.zeros((n, cases.CLASSES), np.float32),
    )
    arguments = attack, order, model.args[0], np.int32(3)
    export = jax.export.export(jax.jit(run), platforms=("cpu", "cuda", "tpu"))
    text = export(*arguments).mlir_module()
    for forbidden in ("f64", "callback", "tensor<?"):
        assert forbidden not in text


def test_programs_kept_on_disk_find_the_same_bytes(monkeypatch, tmp_path):
    found = []
    for folder in (None, tmp_path, tmp_path):  # Not kept, kept now, kept before.
        exports.keep_in(folder)
        fresh = functools.cache(programs.programs.__wrapped__)
        monkeypatch.setattr(run, "programs", fresh)
        found.append(evaluated("apgd", slice(0, FEW)))
        kept = len(list(tmp_path.iterdir()))
    exports.keep_in(None)
    assert kept == 4  # Refill, step, exchange and judge, once.
    for other in found[1:]:
        assert_same(other, found[0])


def test_failures_reproduce_from_their_keys():
    report = whole("apgd")
    failures = report.failures()
    assert len(failures) == (report.winner == 0).sum() > 3
    for failure in failures[:3]:
        again = failure.reproduce()
        np.testing.assert_array_equal(again.x_adv, failure.x_adv)
        assert again.margin >= 0 and again.distance <= 0.15 + 1e-6
    held = int(np.flatnonzero(report.winner == -1)[0])
    with pytest.raises(ValueError, match="no stage broke this example"):
        report.evaluation.again(held)
