"""JAX configured in other ways: the same verdicts, or one sentence.

    python -m tests.evaluate.numerics_test

prints the verdicts under the configuration that the environment asks for.
"""

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core import drive, factories, lift
from robust_jax.core.types import Untargeted
from robust_jax.evaluate import Layout, Stage, confirm, distances, plans, robustness
from robust_jax.evaluate.engine import transitions
from tests import traces, victims

N, SHAPE, CLASSES = 5, (4, 4, 1), 3
MANY, NAMES = 10, ("standard", "plus", "rand", "swift", "strongest", "basic")
THREAT = threats.Linf(0.3)
PLAN = (
    Stage("fgsm", attacks.fgsm()),
    Stage("apgd", attacks.apgd(steps=3)),
    Stage("square", attacks.square(5)),
)
# What a user may ask of JAX. The first five are caught by `compiling.own_settings`.
SETTINGS = {
    "jax_numpy_dtype_promotion": "strict",
    "jax_transfer_guard": "disallow",
    "jax_debug_infs": True,
    "jax_threefry_partitionable": False,
    "jax_debug_key_reuse": True,
    "jax_debug_nans": True,
    "jax_default_prng_impl": "rbg",
    "jax_enable_x64": True,
    "jax_numpy_rank_promotion": "raise",
    "jax_default_matmul_precision": "bfloat16",
}
ALONE = [{name: value} for name, value in SETTINGS.items()]
ALL_AT_ONCE = SETTINGS


@contextlib.contextmanager
def configured(settings):
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@functools.cache
def problem():
    """A net, and five images of which it gets four right; NumPy arrays."""
    rng = np.random.default_rng(0)
    size = int(np.prod(SHAPE))
    weights = rng.normal(size=(16, size)) / size**0.5, rng.normal(size=(CLASSES, 16))
    first, second = (w.astype(np.float32) for w in weights)
    images = victims.inputs(SHAPE, N, seed=2)
    hidden = np.tanh(images.reshape(N, -1) @ first.T)
    labels = np.argmax(hidden @ second.T, axis=1).astype(np.int32)
    labels[0] = (labels[0] + 1) % CLASSES
    return Partial(victims.two_layers, (first, second)), images, labels


def verdicts(plan=PLAN, audit=False):
    """By stage who fell, alone; the winners, the claims."""
    options = {"plan": plan, "layout": Layout(tile=8), "retire": False}
    report = robustness(*problem(), THREAT, audit=audit, **options)
    broken = [np.asarray(stage.broken).tolist() for stage in report.stages]
    return [broken, report.winner.tolist(), report.claims.passed]


def driven(plan=PLAN):
    """By attack who fell: steps that the host calls, and a loop of the first attack."""
    model, images, labels = problem()
    given = lift.item_keys(0, np.arange(N)), model, THREAT, images, Untargeted(labels)
    runs = [drive.hosted(stage.attack) for stage in plan]
    runs += [drive.traced(plan[0].attack)] * (not jax.config.jax_disable_jit)
    return [(np.asarray(run(*given).margin) >= 0).tolist() for run in runs]


@functools.cache
def usual():
    return verdicts(), driven()


def test_some_fall_and_some_hold():
    (broken, winners, passed), by_drivers = usual()
    assert passed and winners[0] == -2 and set(winners) > {-2, -1}
    assert len({tuple(row) for row in by_drivers}) > 1
    assert len({tuple(row) for row in broken}) > 1


@pytest.mark.parametrize("settings", [ALL_AT_ONCE], ids=["all"])
def test_the_same_verdicts(settings):
    expected = usual()
    with configured(settings):
        assert (verdicts(), driven()) == expected


def test_a_net_whose_draws_would_be_others_is_refused():
    """Fixed features, drawn by a key of its own: with other draws it is another net."""
    model, images, labels = problem()

    def net(x):
        drawn = jax.random.normal(jax.random.key(0), x.shape)
        return model(x + drawn)

    given = lift.item_keys(0, np.arange(N)), net, THREAT, images, Untargeted(labels)
    with configured({"jax_threefry_partitionable": False}):
        for ask in (
            lambda: robustness(net, images, labels, THREAT, plan=PLAN),
            lambda: confirm(net, THREAT, images, images, labels),
            lambda: drive.hosted(PLAN[0].attack)(*given),
        ):
            with pytest.raises(ValueError, match="jax_threefry_partitionable=False"):
                ask()


@pytest.mark.full
@pytest.mark.parametrize("settings", ALONE, ids=list(SETTINGS))
def test_the_same_verdicts_with_each_alone_and_the_audit(settings):
    expected = usual()
    with configured(settings):
        assert (verdicts(audit=True), driven()) == expected


def _stages():
    for name, norm in itertools.product(NAMES, ("linf", "l2", "l1", "l0")):
        if norm != "l0" or name in ("strongest", "basic"):
            yield from ((norm, stage) for stage in plans.by_name(name, norm, MANY))


def _keyed(weights, x, key=None):
    return victims.two_layers(weights, x)


def test_the_stages_of_all_plans_are_the_same_programs():
    """Traced, each kind of stage once; nothing compiles."""
    model = Partial(_keyed, victims.two_layer_victim(SHAPE, MANY).args[0])
    images, key_data = np.zeros((2, *SHAPE), np.float32), np.zeros((2, 2), np.uint32)
    labels, logits = np.zeros(2, np.int32), -np.tile(np.arange(MANY), (2, 1))
    seen = set()
    for norm, stage in _stages():
        attack, goal = (
            factories.as_product(stage.attack),
            stage.goals(labels, logits)[0],
        )
        kind = jax.tree.structure(attack), type(goal), norm
        if kind in seen:
            continue
        seen.add(kind)
        threat = lift.threat_on_host(threats.by_name(norm)(2.0), images)
        order = (key_data, images, goal, threat, logits.astype(np.float32))
        with traces.strict():
            begin = (attack, transitions.Inputs(*order))
            begun, slots = jax.make_jaxpr(transitions.fresh, return_shape=True)(*begin)
            step = (attack, model, slots, np.ones(2, bool))
            moved, after = jax.make_jaxpr(transitions.stepped, return_shape=True)(*step)
        assert not traces.wide(slots) and slots == after, stage.name
        assert traces.draws(begun) | traces.draws(moved) <= {32}, stage.name
    assert len(seen) > 20


def test_distances_too():
    given = *problem(), threats.Linf(np.inf)
    plan = Stage("deepfool", attacks.deepfool(3))
    expected = distances(*given, plan=plan, tile=8)
    with configured(ALL_AT_ONCE):
        found = distances(*given, plan=plan, tile=8)
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-5)


def test_without_jit_the_drivers_alone():
    expected = driven(PLAN[:1])[:1]
    with configured({"jax_disable_jit": True}):
        with pytest.raises(ValueError, match=r"jax_disable_jit=True; .* drive.hosted"):
            verdicts()
        assert driven(PLAN[:1]) == expected


def test_another_precision_is_another_program():
    """Else what is asked for after a first evaluation would change nothing."""
    owner = Layout(tile=8).programs(PLAN[0].attack)[0]
    verdicts(PLAN[:1])
    before = len(owner._compiled)
    with configured({"jax_default_matmul_precision": "highest"}):
        verdicts(PLAN[:1])
    assert len(owner._compiled) == before + 1


def test_by_the_environment_on_one_thread():
    asked = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_TRANSFER_GUARD": "disallow",
    }
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    made = subprocess.run(
        [sys.executable, "-m", "tests.evaluate.numerics_test"],
        env={**os.environ, **asked, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == json.loads(json.dumps(usual()))


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    json.dump((verdicts(), driven()), sys.stdout)
