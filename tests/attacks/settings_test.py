"""Two settings of an attack, one program: numbers are its arguments."""

import functools
import inspect

import jax
import numpy as np
import pytest

from robust_jax.core import compilation, drive, lift
from tests.attacks.small_budgets import small
from tests.attacks.table import (
    ENTRIES,
    ROUNDING,
    assert_close,
    attack_of,
    case_of,
    each_attack,
    norm_of,
    solved,
)

# Numbers that decide shapes or how much of a program is written out.
STRUCTURAL = {
    *("samples", "memory", "kernel_size", "copies", "candidates", "population"),
    *("pixels", "side", "proposals"),
    ("slide", "percentile"),  # Shares of the coordinates are counted on the host.
    ("square", "initial_share"),  # It decides a table of windows.
}
# What the general rule would make of them is out of range.
OTHERS = {
    ("apgd_ce", "radii"): (1.0,),  # The last is always 1.
    ("apgd_dlr", "radii"): (1.0,),
    ("apgd_l1", "radii"): (2.7, 1.8, 1.0),
    ("fab", "eta"): 1.1,  # At least 1, as is what is overshot.
    ("brendel_bethge", "overshoot"): 1.2,
    # At least the default, which rounding needs.
    **{(name, "slack"): 2e-6 for name in ("cw_l2", "cw_linf", "cw_l0")},
}
# Both settings find the same here: their small budgets leave the numbers little to do.
IDLE = {"jsma", "greedy_l0", "pgd_l0", "one_pixel"}


def _other(name, value):
    """Another number in its range; all else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | tuple):
        return value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return tuple(_other(name, item) for item in value)
    return 0.9 * value if value else 0.1


def other_setting(name):
    """An attack that differs from `attack_of(name)` in all numbers that may differ."""
    parameters = inspect.signature(ENTRIES[name].make).parameters
    given = {key: parameter.default for key, parameter in parameters.items()}
    given |= small(ENTRIES[name])
    changed = {
        key: OTHERS.get((name, key), _other(key, value))
        for key, value in given.items()
        if key not in STRUCTURAL and (name, key) not in STRUCTURAL
    }
    return ENTRIES[name].make(**given | changed), given != given | changed


@functools.cache
def settings(name):
    """The results of another setting, the programs that it made, and if it differs."""
    other, differs = other_setting(name)
    arguments = case_of(name, norm_of(name))
    drive.hosted(attack_of(name))(*arguments)  # Its programs may have been cleared.
    with compilation.recorded() as made:
        found = drive.hosted(other)(*arguments)
    return found, made.so_far.lowered, differs


@each_attack
def test_another_setting_is_the_same_program_and_another_attack(name):
    found, programs, differs = settings(name)
    assert programs == 0
    if differs and name not in IDLE:
        pairs = zip(solved(name, norm_of(name)), found, strict=True)
        assert any((np.asarray(one) != two).any() for one, two in pairs)


@pytest.mark.full
@each_attack
def test_another_setting_finds_what_it_finds_with_its_numbers_inside(name):
    alone = drive.run(other_setting(name)[0])
    alone = jax.jit(lift.over_examples(alone))(*case_of(name, norm_of(name)))
    assert_close(settings(name)[0], alone, ROUNDING.get(name, 1e-5))
