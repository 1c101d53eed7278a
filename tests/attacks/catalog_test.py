"""The catalog says what is true: names, costs, tests."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.attacks.catalog import SHORT_BUDGET
from robust_jax.commands import list_attacks
from robust_jax.core import drive, stepping
from robust_jax.core.types import Towards, Untargeted
from tests import victims

HERE = pathlib.Path(__file__).parent
ENTRIES = {entry.name: entry for entry in attacks.list()}


@pytest.mark.parametrize("name", ["fab", "fab_t", "vmi_fgsm", "vni_fgsm", "si_ni_fgsm"])
def test_costs_of_a_step(name):
    """Those that the contract's small budgets change, or that depend on the goal."""
    entry, (forwards, backwards) = ENTRIES[name], ENTRIES[name].per_step
    model, x = victims.affine_victim((6,), 10), jnp.full(6, 0.5)
    label = jnp.asarray(victims.predicted(model, x[None])[0])
    targeted = Towards(label, (label + 1) % 10)
    goal = targeted if entry.targets > 1 else Untargeted(label)
    attack, threat = entry.make(), threats.Linf(0.1)
    state = stepping.begin(attack, jax.random.key(0), model, threat, x, goal)
    step = jax.jit(lambda s: attack.step(model, threat, s))
    moved = step(state)
    assert (moved.forwards - 1, moved.backwards) == (forwards, backwards)


def test_cost_multiplies_steps_and_targets():
    assert ENTRIES["apgd_ce"].cost == (1 + 101, 101)
    assert ENTRIES["apgd_t"].cost == (1 + 9 * 101, 9 * 101)
    assert ENTRIES["fab_t"].cost == (1 + 9 * 200, 9 * 100)
    assert ENTRIES["square"].cost == (1 + 5001, 0)
    assert ENTRIES["square"].sees == "scores"
    assert ENTRIES["multi_targeted"].cost == (1 + 9 * 21, 9 * 21)


def test_prints_as_a_table_and_finds_by_name():
    lines = repr(attacks.list()).splitlines()
    assert len(lines) == 1 + len(ENTRIES)
    assert lines[0].split()[:2] == ["attack", "norms"]
    line = next(line for line in lines if line.startswith("apgd_t "))
    assert line.split()[1:6] == ["linf", "l2", "gradients", "101", "910"]
    assert attacks.by_name("fab") is ENTRIES["fab"]
    with pytest.raises(ValueError, match="unknown attack 'fap'; did you mean 'fab'"):
        attacks.by_name("fap")


def test_the_page_in_the_documentation_is_the_generated_one():
    page = HERE.parents[1] / "docs" / "attacks.md"
    assert page.read_text() == list_attacks.markdown()


def test_least_classes_are_what_the_objective_needs():
    x = np.zeros(3, np.float32)
    for entry in attacks.list():
        if entry.least_classes == 2:
            continue
        model = victims.affine_victim((3,), entry.least_classes - 1)
        label, target = jnp.asarray(0), jnp.asarray(1)
        goal = Towards(label, target) if entry.targets > 1 else Untargeted(label)
        threat = threats.by_name(entry.norms[0])(0.1)
        run = functools.partial(drive.run(entry.make()), jax.random.key(0), model)
        with pytest.raises(ValueError, match=rf"at least {entry.least_classes} for"):
            jax.eval_shape(lambda x, r=run, t=threat, g=goal: r(t, x, g), x)


def test_short_presets_keep_to_their_budget():
    nearest = [e for e in attacks.list() if e.finds == "minimum norm"]
    assert len(nearest) >= 2
    for entry in nearest:
        calls = entry.short().steps * entry.short_targets
        most = 1 + calls * sum(entry.per_step)
        assert most <= SHORT_BUDGET, entry.name
    with pytest.raises(ValueError, match="pgd has a fixed budget"):
        attacks.by_name("pgd").short()
