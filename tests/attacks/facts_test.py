"""What stands on an attack: it prints, pickles, equals and is refused by it."""

import functools
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import drive, facts, lift, stepping
from robust_jax.core.types import Attack, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks.small_budgets import small
from tests.attacks.table import RADII

ENTRIES = {entry.name: entry for entry in attacks.list()}
# What a user imports to type an attack in again.
TYPED = {**vars(attacks), **vars(objectives)}
OUTSIDE = [
    (e.name, n) for e in attacks.list() for n in threats.NAMES if n not in e.norms
]


def test_every_factory_of_an_attack_has_its_facts():
    parts = {"projected_ascent"}  # Of which one's own attacks are made.
    factories = {
        name
        for name in attacks.__all__
        if getattr(attacks, name).__annotations__.get("return")
        is attacks.pgd.__annotations__["return"]
    }
    without = {
        name for name in factories if "facts" not in vars(getattr(attacks, name))
    }
    assert without == parts
    listed = {getattr(e.make, "func", e.make).__name__ for e in attacks.list()}
    assert factories - parts - listed == {"grid", "minimise_radius", "stadv", "through"}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_attack_can_be_typed_in_and_pickled(name):
    for attack in (ENTRIES[name].make(), facts.unvouched(ENTRIES[name].make())):
        assert pickle.loads(pickle.dumps(attack)) == attack
        assert hash(pickle.loads(pickle.dumps(attack))) == hash(attack)
    assert eval(repr(ENTRIES[name].make()), dict(TYPED)) == ENTRIES[name].make()
    assert "0x" not in repr(ENTRIES[name].make())


def test_attacks_of_attacks_and_estimators_are_typed_in_and_pickled():
    for attack in (
        attacks.minimise_radius(attacks.apgd(objectives.dlr, 7), 3),
        attacks.through(attacks.bim()),
        attacks.pgd(3, gradient=attacks.estimates.nes()),
    ):
        assert pickle.loads(pickle.dumps(attack)) == attack
    named = attacks.minimise_radius(attacks.apgd(objectives.dlr, 7), 3)
    assert eval(repr(named), dict(TYPED)) == named


def test_numbers_of_numpy_make_the_same_attack():
    for value in (np.int64(3), np.int32(3), np.uint8(3)):
        assert attacks.pgd(value) is attacks.pgd(3)
    assert attacks.pgd(3, np.float64(0.25)) is attacks.pgd(3, 0.25)
    assert attacks.apgd(radii=(np.float64(2.0), 1.0)) is attacks.apgd(radii=(2.0, 1.0))
    assert attacks.pgd(3) != attacks.pgd(4) and attacks.pgd(3) != attacks.bim(3)


@pytest.mark.parametrize(("name", "norm"), OUTSIDE)
def test_a_pair_that_nobody_vouches_for_is_refused(name, norm):
    attack, threat = ENTRIES[name].make(), threats.by_name(norm)(0.5)
    with pytest.raises(
        ValueError, match=rf"^threat={norm.capitalize()}; expected .* unvouched=True"
    ):
        facts.check_use(attack, threat)
    facts.check_use(facts.unvouched(attack), threat)
    assert facts.is_unvouched(attack, threat)


@pytest.mark.parametrize(("name", "norm"), OUTSIDE)
def test_unvouched_it_runs_or_ends_in_a_sentence(name, norm):
    entry = ENTRIES[name]
    attack = facts.unvouched(entry.make(**small(entry)))
    model, x = victims.two_layer_victim((4, 3, 2), 10), jnp.full((4, 3, 2), 0.5)
    goal = Towards(0, 1) if entry.targets > 1 else Untargeted(0)
    threat = threats.by_name(norm)(RADII[norm])
    run = functools.partial(drive.run(attack), jax.random.key(0), model, threat)
    try:
        found = jax.eval_shape(lambda x: run(x, goal), x)
    except ValueError as error:
        assert re.match(r"threat(\.name)?=\S+; expected", str(error))
    else:
        assert found.x_adv.shape == x.shape


@pytest.mark.parametrize("name", ENTRIES)
def test_the_pairs_of_the_catalog_are_vouched_for(name):
    for norm in ENTRIES[name].norms:
        facts.check_use(ENTRIES[name].make(), threats.by_name(norm)(0.5))


def problem():
    x, labels = victims.inputs((4,), 3), np.zeros(3, np.int32)
    return lift.item_keys(0, np.arange(3, dtype=np.uint64)), x, labels


@pytest.mark.parametrize("driver", [drive.hosted, drive.traced])
def test_drivers_ask_before_anything_is_traced(driver):
    keys, x, labels = problem()
    model = lambda x: pytest.fail("The model was asked.")  # noqa: E731
    run = functools.partial(driver(attacks.spsa(2, samples=2)), keys, model)
    with pytest.raises(
        ValueError, match=r"threat=L0; expected threats\.Linf or threats\.L2 for spsa"
    ):
        run(threats.L0(2.0), x, Untargeted(labels))


def test_a_run_inside_a_trace_asks_too():
    _, x, _ = problem()
    model = victims.affine_victim((4,), 3)
    run = drive.run(attacks.spsa(2, samples=2))
    with pytest.raises(
        ValueError, match=r"threat=L0; expected threats\.Linf or threats\.L2 for spsa"
    ):
        jax.eval_shape(
            lambda x: run(jax.random.key(0), model, threats.L0(2.0), x, Untargeted(0)),
            x[0],
        )


def test_training_asks_too():
    x, model = jnp.full(4, 0.5), victims.affine_victim((4,), 3)
    run = stepping.last_iterate(attacks.di_fgsm(2))
    with pytest.raises(ValueError, match=r"threat=L1; expected threats\.Linf"):
        run(jax.random.key(0), model, threats.L1(1.0), x, Untargeted(0))


def test_unvouched_is_one_argument():
    keys, x, labels = problem()
    model = victims.affine_victim((4,), 3)
    run = drive.hosted(attacks.spsa(2, samples=2), unvouched=True)
    found = run(keys, model, threats.L0(2.0), x, Untargeted(labels))
    assert ((found.x_adv != x).sum(axis=1) <= 2).all()


def test_what_an_attack_sees_is_what_its_estimator_sees():
    assert facts.of(attacks.pgd()).sees == "gradients"
    assert facts.of(attacks.pgd(gradient=attacks.estimates.nes())).sees == "scores"
    assert facts.of(attacks.pgd(gradient=attacks.input_diversity())).sees == "gradients"
    assert facts.of(attacks.minimise_radius(attacks.square())).sees == "scores"
    assert facts.of(attacks.minimise_radius(attacks.slide())).norms == ("l1",)
    assert facts.of(attacks.rays()).sees == "labels"


def test_a_fixed_budget_is_no_search_for_the_nearest():
    threat = threats.L2(np.inf)
    with pytest.raises(
        ValueError, match=r"attack=pgd has a fixed budget; .*minimise_radius\(pgd"
    ):
        facts.check_use(attacks.pgd(), threat, finds=facts.NEAREST)
    facts.check_use(attacks.ddn(), threat, finds=facts.NEAREST)
    facts.check_use(attacks.minimise_radius(attacks.pgd()), threat, finds=facts.NEAREST)


def test_of_an_attack_by_hand_nothing_is_known():
    attack = attacks.pgd(2)
    by_hand = Attack(*(getattr(attack, name) for name in Attack._fields))
    assert facts.of(by_hand) is None
    facts.check_use(by_hand, threats.L2(np.inf), finds=facts.NEAREST)
