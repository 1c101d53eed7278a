"""The plans against AutoAttack's published table, and the rules of `swift`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks
from robust_jax.attacks.nearest.fab import halfway_at_random
from robust_jax.core.types import Towards, Untargeted
from robust_jax.evaluate import plans, selection, stages
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.losses import objectives

NORMS = ("linf", "l2", "l1")
NAMES = ("standard", "plus", "rand", "strongest", "swift")
# Others: one of each, the last gradient
PER_CALL = {"fab": (2, 1), "square": (1, 0), "labels": (1, 0)}
GIVEN_UP = 50  # Queries of a search by labels where the class changes far away.
REFERENCE = 11_677  # forwards + 2 backwards of AutoAttack's standard, counters matched


def goals_of(stage, num_classes):
    labels = np.zeros(1, np.int32)
    logits = -np.arange(num_classes, dtype=float)[None]
    return stage.goals(labels, logits)


def cost(stage, num_classes=10):
    """Forwards and backwards of an example that stays robust, clean forward apart."""
    goals = goals_of(stage, num_classes)
    items = stage.restarts * len(goals)
    kind = stage.name.split("-")[0].split()[0]
    forwards, backwards = PER_CALL.get(kind, (1, 1))
    if kind == "fab" and isinstance(goals[0], Untargeted):
        backwards = num_classes - 1
    calls = GIVEN_UP if kind == "labels" else stage.attack.steps
    spared = 0 if kind in PER_CALL else 1
    return items * forwards * calls, items * backwards * (calls - spared)


def equivalents(costs):
    return sum(forwards + 2 * backwards for forwards, backwards in costs)


def table(plan, num_classes=10):
    return {s.name: (s.restarts, len(goals_of(s, num_classes))) for s in plan}


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_standard_costs_what_the_published_table_says(norm):
    published = {  # A stage's forwards and backwards, of AutoAttack's own code.
        "apgd-ce": (103, 101),
        "apgd-t": (920, 909),
        "fab-t": (1829, 900),
        "square": (5004, 0),
    }
    plan = plans.standard(norm)
    costs = {stage.name: cost(stage) for stage in plan}
    assert list(costs) == list(published)
    for name, (forwards, backwards) in published.items():
        assert 0.98 * forwards <= costs[name][0] <= forwards
        assert 0.99 * backwards <= costs[name][1] <= backwards
    total = 1 + equivalents(costs.values())
    assert total == 1 + 101 + 200 + 9 * (101 + 200 + 200 + 200) + 5001
    assert 0.99 * REFERENCE < total < REFERENCE


def test_standard_in_l1_has_larger_radii_more_restarts_and_fewer_targets():
    plan = plans.standard("l1")
    assert table(plan) == {
        "apgd-ce": (5, 1),
        "apgd-t": (1, 5),
        "fab-t": (1, 9),
        "square": (1, 1),
    }
    ce, targeted, fab, square = (stage.attack for stage in plan)
    assert ce == attacks.apgd_l1(objectives.cross_entropy, radii=(3.0, 2.0, 1.0))
    assert targeted == attacks.apgd_l1(objectives.dlr, radii=(3.0, 2.0, 1.0))
    assert fab == attacks.fab()
    assert square == attacks.square()
    costs = np.sum([cost(stage) for stage in plan], axis=0)
    assert costs[0] + 1 == pytest.approx(7873, rel=0.01)
    assert costs[1] == pytest.approx(1930, rel=0.01)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_plus_is_the_authors(norm):
    plan = plans.plus(norm)
    assert table(plan) == {
        "apgd-ce": (5, 1),
        "apgd-dlr": (5, 1),
        "fab": (1, 1),
        "fab restarts": (4, 1),
        "square": (1, 1),
        "apgd-t": (1, 9),
        "fab-t": (1, 9),
    }
    by_name = {stage.name: stage.attack for stage in plan}
    assert by_name["apgd-dlr"] == attacks.apgd(objectives.dlr)
    assert by_name["fab"] == attacks.fab()
    assert by_name["fab restarts"] == attacks.fab(start=halfway_at_random)
    # The first of the authors' five FAB runs starts at the input as well.
    forwards, backwards = np.sum([cost(stage) for stage in plan], axis=0)
    assert forwards == pytest.approx(9780, rel=0.01)
    assert backwards == pytest.approx(7819 - 500, rel=0.01)  # FAB: theirs takes K.


def test_plus_in_l1_stays_at_the_radius():
    by_name = {stage.name: stage.attack for stage in plans.plus("l1")}
    assert by_name["apgd-t"] == attacks.apgd_l1(objectives.dlr, radii=(1.0,))


@pytest.mark.parametrize("norm", NORMS)
def test_rand_averages_twenty_versions_of_the_net(norm):
    mean = attacks.expectation(plans.by_key, samples=20)
    plan = plans.rand(norm)
    assert table(plan) == {"apgd-ce": (1, 1), "apgd-dlr": (1, 1)}
    if norm != "l1":
        assert plan[0].attack == attacks.apgd(objectives.cross_entropy, gradient=mean)
        assert plan[1].attack == attacks.apgd(objectives.dlr, gradient=mean)
    else:
        ce = attacks.apgd_l1(objectives.cross_entropy, radii=(1.0,), gradient=mean)
        assert plan[0].attack == ce
    assert 20 * sum(cost(stage)[0] for stage in plan) == pytest.approx(4045, rel=0.01)


def test_rand_draws_with_the_key():
    def net(x, key=jax.random.key(0)):  # noqa: B008 - as users write it
        return x + jax.random.normal(key, x.shape)

    x, key = jnp.zeros(3), jax.random.key(1)
    drawn = plans.by_key(key, net)(x)
    np.testing.assert_array_equal(drawn, jax.random.normal(key, (3,)))
    assert not np.array_equal(drawn, net(x))


def test_strongest_has_all_of_standard_and_more():
    for norm in NORMS:
        strong = plans.strongest(norm)
        found = {stage.attack for stage in strong}
        assert {stage.attack for stage in plans.standard(norm)[:-1]} <= found
        budget = 1 + equivalents(cost(s) for s in strong)
        assert budget > 4 * REFERENCE
        assert table(strong)["apgd-t"] == (2, 9)
        of_thirteen = table(plans.strongest(norm, 13), 13)
        assert of_thirteen["fab-t"] == (1, 12)  # All targets, not nine.
        names = [stage.name for stage in strong]
        assert len(set(names)) == len(names)
    assert table(plans.strongest("l2"))["apgd margin from afar"] == (1, 9)
    (square,) = [s for s in plans.strongest("linf") if s.name == "square"]
    assert (square.attack, square.restarts) == (attacks.square(10_000), 3)


@pytest.mark.parametrize("num_classes", [2, 3, 4, 10])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NAMES)
def test_dlr_only_where_it_exists(name, norm, num_classes):
    """Every stage's attack can be traced with this number of classes."""
    plan = plans.by_name(name, norm, num_classes)
    least = {"untargeted": 3, "targeted": 4}
    dlr = (
        {attacks.apgd(objectives.dlr, steps) for steps in (10, 30, 100)}
        | {
            attacks.apgd_l1(objectives.dlr, steps, radii)
            for steps in (10, 30, 100)
            for radii in ((1.0,), (3.0, 2.0, 1.0))
        }
        | {plans.rand(norm)[1].attack}
    )
    uses = set()
    for stage in plan:
        goals = goals_of(stage, num_classes)
        kind = "targeted" if isinstance(goals[0], Towards) else "untargeted"
        assert len(goals) <= num_classes - 1
        if stage.attack in dlr:
            uses.add(kind)
            assert num_classes >= least[kind]
    if name in ("standard", "swift") and num_classes >= 4:
        assert uses == {"targeted"}
    if name in ("plus", "strongest") and num_classes >= 4:
        assert uses == {"targeted", "untargeted"}
    if name == "rand" and num_classes >= 3:
        assert uses == {"untargeted"}


def history(**fields):
    """Margins in float64, ten examples of four classes, unless given."""
    rng = np.random.default_rng(0)
    clean = -rng.uniform(1, 9, 10)
    targets = clean[:, None] * rng.uniform(0.01, 1, (10, 4))
    targets[rng.uniform(size=(10, 4)) < 0.3] = -np.inf
    best = np.maximum(targets.max(axis=1), clean)
    made = {
        "logits": rng.normal(size=(10, 4)),
        "clean_margin": clean,
        "best_margin": best,
        "target_margin": targets,
    }
    return stages.History(**{**made, **fields})


RULES = [selection.near(0.3), selection.leading_targets(0.4, 0.2)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_knows_each_example_alone(rule):
    whole = history()
    says = rule(whole)
    assert 0 < says.sum() < says.size  # Else there is nothing to compare.
    rng = np.random.default_rng(1)
    for _ in range(20):
        subset = rng.permutation(10)[: rng.integers(0, 11)]
        part = stages.History(*(field[subset] for field in whole))
        np.testing.assert_array_equal(rule(part), says[subset])


@pytest.mark.parametrize("scale", [1e-20, 1e20])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_knows_no_scale(rule, scale):
    whole = history()
    scaled = stages.History(*(scale * field for field in whole))
    np.testing.assert_array_equal(rule(scaled), rule(whole))


def test_near_asks_how_much_of_the_clean_margin_is_left():
    clean = np.array([-10.0, -10, -10, -0.1, -10])
    best = np.array([-2.9, -3.1, -10, -0.001, -1e-30])
    marked = selection.near(0.3)(history(clean_margin=clean, best_margin=best))
    np.testing.assert_array_equal(marked, [True, False, False, True, True])
    no_progress = history(clean_margin=clean, best_margin=clean)
    assert not selection.near(1.0)(no_progress).any()


def test_leading_targets_are_those_close_behind_the_best():
    inf = np.inf
    marked = selection.leading_targets(0.4, 0.2)(
        history(
            clean_margin=np.array([-10.0, -10, -10]),
            best_margin=np.array([-3.0, -1, -5]),
            target_margin=np.array(
                [
                    [-inf, -3, -4.9, -5.1],
                    [-inf, -inf, -2.9, -3.1],  # The best was found without a target.
                    [-5, -5, -5, -inf],  # Too far.
                ]
            ),
        )
    )
    np.testing.assert_array_equal(
        marked,
        [
            [False, True, True, False],
            [False, False, True, False],
            [False, False, False, False],
        ],
    )


@pytest.mark.parametrize("norm", NORMS)
def test_swift_spends_on_the_examples_that_are_near(norm):
    plan = plans.swift(norm)

    def spent(share):
        """Cost of an example whose two best targets are level at this share."""
        clean = np.array([-1.0])
        targets = np.full((1, 10), -0.99)
        targets[0, 1:3] = -share
        known = history(
            clean_margin=clean,
            best_margin=np.array([-share]),
            target_margin=targets,
            logits=np.zeros((1, 10)),
        )
        total = 1
        for stage in plan:
            forwards, backwards = cost(stage)
            says = np.ones(1) if stage.only is None else stage.only(known)
            items = len(goals_of(stage, 10))
            weight = says.sum() / items if says.ndim == 2 else says.sum()
            total += weight * (forwards + 2 * backwards)
        return total

    far, middle, close = (
        spent(share) / REFERENCE
        for share in (0.9, {"linf": 0.25, "l2": 0.08, "l1": 0.18}[norm], 0.015)
    )
    assert far < {"linf": 0.043, "l2": 0.09, "l1": 0.095}[norm]
    assert far + 0.015 < middle < 0.15  # More steps; not yet Square.
    assert middle + 0.15 < close < 0.85


@pytest.mark.parametrize("norm", ["l0", "patch"])
def test_l0_and_patches_have_what_works_there(norm):
    for plan in (plans.by_name("strongest", norm, 3), plans.by_name("basic", norm)):
        assert len(plan) >= 4
    searches = [s for s in plans.by_name("strongest", norm, 3) if s.name == "sparse-rs"]
    search = {"l0": attacks.sparse_rs, "patch": attacks.sparse_rs_patch}[norm]
    assert [s.attack for s in searches] == [search(10_000)]
    from_x = attacks.bim(100, objective=objectives.margin)
    stages_from_x = [s for s in plans.strongest(norm, 3) if s.attack == from_x]
    assert len(stages_from_x) == (norm == "patch")
    for name in ("standard", "plus", "rand", "swift"):
        with pytest.raises(ValueError, match=f"norm='{norm}'; expected linf, l2, l1"):
            plans.by_name(name, norm)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_the_plan_of_that_name(name):
    for norm in NORMS:
        assert plans.by_name(name, norm, 3) == getattr(plans, name)(norm, 3)
    assert plans.by_name("basic", "l0") == stages.basic()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["basic", "swift", "strongest"])
def test_plans_of_our_own_end_with_labels_alone(name, norm):
    """AutoAttack's are as published; the audit asks in their place."""
    *others, last = plans.by_name(name, norm)
    assert last.attack == hard_label(1000 if name == "strongest" else 300)
    if name == "basic":
        assert tuple(others) == stages.basic()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: plans.by_name("standart", "linf"), "did you mean 'standard'?"),
        (lambda: plans.by_name("swift", "l3"), "unknown norm 'l3'"),
        (lambda: plans.by_name("basic", "linf", 1), "num_classes=1; expected"),
        (lambda: plans.standard("linf", 2.5), "num_classes=2.5; expected an integer"),
        (lambda: selection.near(0), "share=0; expected a share in"),
        (lambda: selection.near(1.5), "share=1.5; expected a share in"),
        (lambda: selection.leading_targets(0.5, 0), "spread=0; expected a share in"),
    ],
)
def test_bad_arguments(call, sentence):
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        call()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("num_classes", [2, 3, 4])
def test_a_stage_is_not_named_after_an_objective_that_it_lacks(norm, num_classes):
    """Check 3 of the audit goes by the names, and must not ask for more classes."""
    for plan in ("standard", "plus", "rand", "swift"):
        names = [stage.name for stage in plans.by_name(plan, norm, num_classes)]
        assert any("apgd-t" in name for name in names) == (
            num_classes >= 4 and plan != "rand"
        )
        assert any("dlr" in name for name in names) == (
            num_classes >= 3 and plan in ("plus", "rand")
        )
