"""One model function, shape and tile for all tests, so that few programs are compiled.

The victim's parameters make it affine, wavy or unable to answer, as a test needs.
"""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.evaluate import Layout, Stage, each_wrong_class, robustness, untargeted
from robust_jax.losses import objectives
from tests import victims

N, SIZE, CLASSES, TILE, EPS, STEPS = 21, 6, 3, 8, 0.08, 4


def victim(p, x):
    """Affine in x; plus waves in class 1; no number where x[0] is over the limit."""
    waves = p["waves"] * jnp.sum(jnp.cos(40 * x))
    logits = (p["weights"] @ x + p["bias"]).at[1].add(waves)
    return jnp.where(x[0] > p["limit"], jnp.nan, logits)


def model_of(weights=None, bias=(0, 0, 0), waves=0.0, limit=np.inf):
    if weights is None:
        weights = np.random.default_rng(0).normal(size=(CLASSES, SIZE))
    values = {"weights": weights, "bias": bias, "waves": waves, "limit": limit}
    return Partial(victim, {k: jnp.asarray(v, jnp.float32) for k, v in values.items()})


MODEL = model_of()
IMAGES = victims.inputs((SIZE,), N, seed=2)
RIGHT = victims.predicted(MODEL, IMAGES)
WRONG = np.isin(np.arange(N), [0, 9, 20])
LABELS = np.where(WRONG, (RIGHT + 1) % CLASSES, RIGHT)
BIM = attacks.bim(STEPS, 0.4, objectives.margin)
PGD = attacks.pgd(STEPS, 0.4, objectives.margin)
PLAN = (
    Stage("bim", BIM),
    Stage("pgd", PGD, untargeted, restarts=2),
    Stage("each", BIM, each_wrong_class),
)


def judged(model=MODEL, images=IMAGES, labels=LABELS, **options):
    threat = options.pop("threat", threats.Linf(EPS))
    layout = Layout(tile=options.pop("tile", TILE))
    options = {"plan": PLAN, "layout": layout, "audit": False, **options}
    return robustness(model, images, labels, threat, **options)


@functools.cache
def whole():
    return judged()


@functools.cache
def unretired():
    return judged(retire=False)


def next_class(labels, logits):
    return each_wrong_class(labels, logits)[:1]


def last_class(labels, logits):
    return each_wrong_class(labels, logits)[-1:]


def assert_same_findings(ours, theirs, some):
    """The findings of ours are the `some` ones of theirs, to the last byte."""
    for name in ("clean", "x_adv", "winner", "ids"):
        expected = getattr(theirs, name)[some]
        np.testing.assert_array_equal(getattr(ours, name), expected)
    for stage, expected in zip(ours.stages, theirs.stages, strict=True):
        np.testing.assert_array_equal(stage.broken, expected.broken[some])


def test_some_hold_and_some_fall():
    assert 2 < whole().robust_accuracy.successes < N - 5


def test_robust_accuracy_is_the_worst_case_and_no_better_than_clean():
    for report in (whole(), unretired()):
        lost = np.any([stage.broken for stage in report.stages], axis=0)
        np.testing.assert_array_equal(report.winner == -1, ~lost)
        assert (report.winner[~report.clean] != -1).all()
        assert report.robust_accuracy.value <= report.clean_accuracy.value
        for stage in report.stages:
            assert report.robust_accuracy.value <= stage.accuracy.value


def test_the_best_margin_says_who_holds():
    for report in (whole(), unretired()):
        np.testing.assert_array_equal(report.best_margin >= 0, report.winner != -1)


def test_errors_without_an_attack_count_as_broken_and_are_left_alone():
    for report in (whole(), unretired()):
        np.testing.assert_array_equal(report.clean, ~WRONG)
        np.testing.assert_array_equal(report.winner == -2, WRONG)
        np.testing.assert_array_equal(report.x_adv[WRONG], IMAGES[WRONG])
        assert all(stage.broken[WRONG].all() for stage in report.stages)


def test_a_tie_without_an_attack_is_an_error():
    tied = model_of(np.zeros((CLASSES, SIZE)), (1, 1, 0))
    report = judged(tied, IMAGES[:2], np.array([0, 1]), plan=PLAN[:1])
    assert not report.clean.any() and (report.winner == -2).all()


def test_examples_that_hold_keep_their_image_and_others_are_adversarial():
    report = whole()
    np.testing.assert_array_equal(
        report.x_adv[report.winner == -1], IMAGES[report.winner == -1]
    )
    fallen = report.winner >= 0
    assert (victims.predicted(MODEL, report.x_adv)[fallen] != LABELS[fallen]).all()
    assert (np.abs(report.x_adv - IMAGES).max(axis=1)[fallen] > 0).all()
    assert report.claims.passed and report.claims.n == fallen.sum()
    assert report.claims.excess <= 1e-6


@pytest.mark.parametrize("retire", [True, False])
def test_the_winner_is_the_earliest_stage_that_breaks(retire):
    plan = (Stage("last", BIM, last_class), Stage("bim", BIM), Stage("again", BIM))
    attack = functools.partial(judged, threat=threats.Linf(0.2), retire=retire)
    report = attack(plan=plan)
    broken = np.stack([stage.broken for stage in report.stages])
    earliest = np.where(broken.any(axis=0), broken.argmax(axis=0), -1)
    np.testing.assert_array_equal(report.winner, np.where(WRONG, -2, earliest))
    assert {0, 1} <= set(report.winner) and 2 not in report.winner
    alone = attack(plan=plan[:1])  # A later stage does not overwrite what it found.
    first = report.winner == 0
    np.testing.assert_array_equal(report.x_adv[first], alone.x_adv[first])


def test_retired_examples_are_spared():
    report = judged(plan=(Stage("bim", BIM), Stage("again", BIM)))
    first, again = report.stages
    survivors = int((~first.broken).sum())
    assert 0 < survivors < N - WRONG.sum()
    assert again.forwards.sum() == survivors * (STEPS + 1)
    np.testing.assert_array_equal(again.broken, first.broken)


def test_without_retiring_each_stage_stands_alone():
    """Its flags and costs are those of a plan of itself."""
    report = judged(plan=(Stage("pgd", PGD), Stage("bim", BIM)), retire=False)
    alone = judged(plan=(Stage("bim", BIM),)).stages[0]
    np.testing.assert_array_equal(report.stages[1].broken, alone.broken)
    for ledger in ("forwards", "backwards"):
        ours, theirs = getattr(report.stages[1], ledger), getattr(alone, ledger)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "some", [np.arange(5), np.arange(N)[::-1], np.array([20, 3, 11]), np.array([7])]
)
def test_order_subset_and_batch_change_no_byte(some):
    alone = judged(images=IMAGES[some], labels=LABELS[some])
    assert_same_findings(alone, whole(), some)


def test_ids_and_seeds_decide_the_random_starts():
    """PGD that wins at once shows where it has started."""
    plan = (Stage("start", PGD),)
    start = functools.partial(judged, plan=plan, threat=threats.Linf(0.3))
    default = start()
    assert_same_findings(start(ids=default.ids), default, slice(None))
    ids = np.arange(N, dtype=np.uint64)
    for other in (start(seed=1), start(ids=ids)):
        both = (default.winner == 0) & (other.winner == 0)
        assert both.sum() > 10
        differ = (default.x_adv != other.x_adv)[both].any(axis=1)
        assert differ.mean() > 0.5
    # Names go with their examples, whatever the examples are.
    permuted = start(ids=ids[::-1], images=IMAGES[::-1], labels=LABELS[::-1])
    assert_same_findings(permuted, start(ids=ids), np.arange(N)[::-1])


def test_restarts_start_elsewhere():
    """On the wavy victim a start decides the end: more starts find more."""
    wavy = model_of(np.zeros((CLASSES, SIZE)), (0, 4, -100), waves=1.0)
    images = victims.inputs((SIZE,), N, seed=4, high=0.2)
    labels = np.ones(N, int)

    def fallen(restarts):
        plan = (Stage("pgd", PGD, untargeted, restarts),)
        report = judged(wavy, images, labels, plan=plan, threat=threats.Linf(0.1))
        return report.winner == 0, report.x_adv

    (one, x_one), (many, x_many) = fallen(1), fallen(6)
    assert 0 < one.sum() < many.sum() and many[one].all()
    np.testing.assert_array_equal(x_one[one], x_many[one])


def test_a_success_cancels_the_later_items_of_its_example():
    """It keeps what was found and spends no more."""
    attack = functools.partial(judged, threat=threats.Linf(0.3))
    fallen = attack(plan=(Stage("pgd", PGD),)).winner == 0
    assert fallen.sum() > 10
    attack = functools.partial(attack, images=IMAGES[fallen], labels=LABELS[fallen])
    once = attack(plan=(Stage("pgd", PGD),))
    thrice = attack(plan=(Stage("pgd", PGD, untargeted, 3),))
    assert_same_findings(thrice, once, slice(None))
    for ledger in ("forwards", "backwards"):
        ours, theirs = (getattr(r.stages[0], ledger) for r in (thrice, once))
        np.testing.assert_array_equal(ours, theirs)


def test_each_wrong_class_finds_what_only_one_target_reaches():
    """Class 1 is near and out of reach; class 2 is far, but the other way."""
    weights = np.zeros((CLASSES, SIZE))
    weights[1, 0], weights[2, 0] = 0.2, -4.0
    model = model_of(weights, (0, -0.2, 1.0))  # At 0.5: 0, -0.1 and -1.
    images, labels = np.full((2, SIZE), 0.5, np.float32), np.zeros(2, int)
    attack = functools.partial(judged, model, images, labels, threat=threats.Linf(0.3))

    plan = (Stage("any", BIM), Stage("next", BIM, next_class))
    assert (attack(plan=plan).winner == -1).all()
    report = attack(plan=(*plan, Stage("each", BIM, each_wrong_class)))
    assert (report.winner == 2).all() and (report.x_adv[:, 0] < 0.3).all()


@pytest.mark.parametrize("retire", [True, False])
def test_the_ledger_of_a_model_that_never_breaks(retire):
    """Each item: an evaluation per iterate, and a gradient but for the last one."""
    seen = []
    report = judged(threat=threats.Linf(0.0), retire=retire, on_progress=seen.append)
    n = N - WRONG.sum()
    assert (report.winner[~WRONG] == -1).all()
    items = [1, 2, CLASSES - 1]
    for stage, k in zip(report.stages, items, strict=True):
        np.testing.assert_array_equal(stage.forwards, ~WRONG * k * (STEPS + 1))
        np.testing.assert_array_equal(stage.backwards, ~WRONG * k * STEPS)
    assert report.forwards == N + n * sum(items) * (STEPS + 1)
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares) and shares[0] < 0.5 and shares[-1] == 1
    assert {progress.stage for progress in seen} == {
        "compilation",
        *(stage.name for stage in report.stages),
    }
    assert seen[-1].robust == report.robust_accuracy


def test_nothing_is_attacked_where_nothing_is_right():
    """Nor does what is told on the way mind."""
    told, estimates = [], []
    report = judged(
        labels=(RIGHT + 1) % CLASSES,
        on_progress=told.append,
        on_estimate=estimates.append,
    )
    assert (report.winner == -2).all() and report.robust_accuracy.value == 0
    assert estimates[0].attacks == estimates[0].compilation == 0


def test_radii_and_boxes_of_each_example():
    eps = np.where(np.arange(N) % 2, EPS, 0.0)
    report = judged(threat=threats.Linf(eps))
    still = eps == 0
    assert (report.winner[still] < 0).all()
    np.testing.assert_array_equal(report.x_adv[still], IMAGES[still])
    for name in ("x_adv", "winner"):
        ours, theirs = getattr(report, name), getattr(whole(), name)
        np.testing.assert_array_equal(ours[~still], theirs[~still])
    assert report.threat == "linf eps=0 to 0.08" and report.claims.passed
    closed = threats.Linf(EPS, lower=IMAGES, upper=IMAGES)  # Nothing can move.
    report = judged(threat=closed, plan=PLAN[:1])
    assert (report.winner == np.where(WRONG, -2, -1)).all()


def test_no_number_at_an_iterate_is_a_loss_and_is_named():
    limit = float(np.sort(IMAGES[:, 0])[-3]) + EPS / 2
    model = model_of(limit=limit)
    images = np.minimum(IMAGES, np.float32(limit))
    labels = victims.predicted(model, images)
    report = judged(model, images, labels, plan=(Stage("pgd", PGD),))
    assert report.clean.all() and len(report.claims.not_finite) > 0
    lost = np.flatnonzero(report.winner >= 0)
    no_number = lost[report.claims.not_finite]
    assert (report.x_adv[no_number, 0] > limit).all() and report.claims.passed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"images": IMAGES * 255}, "outside the threat's box .0, 1."),
        ({"images": np.zeros((N, SIZE), int)}, "images.dtype=int64; expected floats"),
        ({"labels": LABELS + 0.5}, "labels.dtype=float64; expected integers"),
        ({"labels": LABELS + 3}, r"labels\[0\]=\d for a model with 3 outputs"),
        ({"labels": LABELS[:4]}, r"labels.shape=\(4,\); expected \(21,\)"),
        ({"ids": [1, 2]}, r"ids.shape=\(2,\); expected \(21,\)"),
        ({"tile": 0}, "tile=0; expected an integer >= 1"),
        ({"plan": ()}, r"plan=\(\); expected a plan's name or at least one Stage"),
        ({"plan": (BIM,)}, "expected a plan's name or at least one Stage in a tuple"),
        ({"plan": None}, "plan=None; expected a plan's name or at least one Stage"),
        ({"threat": threats.Linf(8)}, "eps=8 exceeds the width 1 of the"),
        ({"threat": threats.Linf(-0.1)}, "eps=-0.1; expected a finite radius"),
        ({"threat": threats.L2(np.array([0.1, 0.2]))}, r"eps.shape=\(2,\); expected"),
        ({"model": model_of(limit=-1.0)}, "logits at clean image 0 are not finite"),
        (
            {"model": model_of(np.zeros((CLASSES, SIZE)), (0.2, 0.3, 0.5))},
            "returns probabilities",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_attacked(options, sentence):
    seen = []
    with pytest.raises(ValueError, match=sentence):
        judged(**options, on_progress=seen.append)
    assert seen == []


def test_what_was_compiled_is_told_and_a_second_call_compiles_nothing():
    new = Partial(lambda p, x: victim(p, x) + 0.28125, MODEL.args[0])  # No other's.
    first, again = (judged(new, plan=PLAN[:1]) for _ in range(2))
    made = first.compilation
    assert made.traced >= made.lowered == made.compiled + made.loaded >= 3
    assert again.compilation.lowered == 0
    assert 0 < again.seconds_to_first_step < first.seconds_to_first_step
    wrong = judged(new, labels=(RIGHT + 1) % CLASSES, plan=PLAN[:1])
    assert wrong.seconds_to_first_step is None  # Nothing is attacked.
