"""Each check of the report: one that it flags, and one that it does not."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from robust_jax.core import records
from robust_jax.evaluate.audit import report_checks
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED, checks_of
from robust_jax.evaluate.claims import Claims
from tests.evaluate.audit import scenes

CHECKS, N = checks_of(report_checks), scenes.N
WINNER = np.where(scenes.can_be_broken(), 0, -1)
WINNER[:3] = -2  # Wrong without an attack.


def stage(**fields):
    """A gradient attack that spent ten steps on every example."""
    spent = {"forwards": np.full(N, 11), "backwards": np.full(N, 10)}
    known = {"name": "pgd", "broken": WINNER != -1, "unfinished": 0} | spent
    return SimpleNamespace(**known | fields)


def bench(**fields):
    """An honest evaluation, but for the fields."""
    x, labels, logits = scenes.data()
    labels = labels.copy()
    labels[:3] = (labels[:3] + 1) % scenes.CLASSES
    right = WINNER != -2
    x_adv = np.where(WINNER[:, None, None] >= 0, np.round(x * 255 + 0.3) / 255, x)
    honest = {"labels": labels, "clean": right, "stages": (stage(),)}
    honest |= {"winner": WINNER, "x_adv": x_adv.astype(np.float32), "logits": logits}
    return scenes.bench(**honest | fields)


def claims(**fields):
    nobody = np.zeros(0, int)
    return Claims(9, nobody, nobody, 0, nobody, 0.0, 0.0)._replace(**fields)


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_report_passes(check):
    finding = check(bench(certified=WINNER == -1))
    assert finding.verdict == PASS, finding.says


def test_the_numbers_are_in_order():
    found = tuple(check(bench()).number for check in CHECKS)
    assert found == (4, 7, 20, 23, 24, 25, 26)


@pytest.mark.parametrize(
    ("untrue", "value"),
    [
        ({"outside": np.array([4])}, 1),
        ({"unconfirmed": np.array([1, 2, 5]), "borderline": 1}, 2),
    ],
)
def test_untrue_claims_are_flagged_and_counted(untrue, value):
    finding = report_checks.claims_in_float64(bench(claims=claims(**untrue)))
    assert (finding.verdict, finding.value) == (FLAG, value)


def test_a_claim_at_the_border_is_no_lie():
    border = claims(unconfirmed=np.array([1]), borderline=1)
    assert report_checks.claims_in_float64(bench(claims=border)).verdict == PASS


def test_clean_errors_are_named():
    says = report_checks.clean_errors(bench()).says
    assert says.startswith("3 of 60") and "position 0, 1, 2" in says


def test_clean_errors_that_count_as_robust_are_flagged():
    robust = WINNER.copy()
    robust[1] = -1
    finding = report_checks.clean_errors(bench(winner=robust))
    assert (finding.verdict, finding.value) == (FLAG, 1)
    assert finding.says.endswith("otherwise: position 1.")
    broken = WINNER != -1
    broken[[0, 2]] = False
    spared = bench(stages=(stage(), stage(broken=broken)))
    finding = report_checks.clean_errors(spared)
    assert (finding.verdict, finding.value) == (FLAG, 2)
    believed = bench(clean=np.ones(N, bool))
    assert report_checks.clean_errors(believed).verdict == FLAG


def test_a_random_model_s_errors_are_those_of_its_majority():
    right = WINNER != -2
    right[10], winner = False, WINNER.copy()
    winner[10] = -2
    broken = stage(broken=winner != -1)
    majority = bench(samples=5, clean=right, winner=winner, stages=(broken,))
    assert report_checks.clean_errors(majority).verdict == PASS


def test_a_certified_example_that_was_broken_is_named():
    certified = WINNER == -1
    broken = int(np.flatnonzero(WINNER == 0)[0])
    certified[broken] = True
    finding = report_checks.certified_below_empirical(bench(certified=certified))
    assert (finding.verdict, finding.value) == (FLAG, 1)
    assert f"(position {broken})" in finding.says
    nothing = report_checks.certified_below_empirical(bench())
    assert nothing.verdict == SKIPPED


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (3, 7), (120, 200)])
def test_the_interval_leaves_the_exact_tails(successes, n):
    low, high = report_checks.clopper_pearson(successes, n)
    if successes:
        assert stats.binom.sf(successes - 1, n, low) == pytest.approx(0.025)
    else:
        assert low == 0
    if successes < n:
        assert stats.binom.cdf(successes, n, high) == pytest.approx(0.025)
    else:
        assert high == 1


@pytest.mark.parametrize(
    ("successes", "n", "text"),
    [(91, 200, "46 %"), (4551, 10_000, "45.5 %"), (3, 20, "20 %"), (199, 200, "100 %")],
)
def test_three_digits_need_ten_thousand_examples(successes, n, text):
    assert report_checks.supported(successes, n) == text


def test_few_examples_are_flagged():
    winner = np.where(np.arange(20) % 2, 0, -1)
    few = SimpleNamespace(subject=SimpleNamespace(robust=winner == -1))
    finding = report_checks.interval(few)
    assert finding.verdict == FLAG and finding.value > 0.2


def test_the_ledger_names_cost_and_what_was_left_undone():
    assert "pgd 11/10" in report_checks.ledger(bench()).says
    partial = report_checks.ledger(bench(stages=(stage(), stage(unfinished=7))))
    assert (partial.verdict, partial.value) == (FLAG, 7)
    assert report_checks.ledger(bench(stages=())).verdict == SKIPPED


def test_unbroken_examples_must_have_been_attacked_or_proved():
    robust = WINNER == -1
    spared = stage(forwards=np.where(np.cumsum(robust) == 2, 0, 11))
    finding = report_checks.ledger(bench(stages=(spared,)))
    assert finding.verdict == FLAG and "no stage asked" in finding.says
    later = stage(forwards=np.where(robust, 5, 0))  # A rule spared it one stage only.
    assert report_checks.ledger(bench(stages=(spared, later))).verdict == PASS
    retired = stage(forwards=np.where(robust, 11, 0))
    assert report_checks.ledger(bench(stages=(retired,))).verdict == PASS
    proved = bench(stages=(spared,), certified=robust)
    assert report_checks.ledger(proved).verdict == PASS


@pytest.mark.parametrize(
    ("backend", "precision", "verdict"),
    [
        ("cpu", None, PASS),
        ("gpu", None, FLAG),
        ("gpu", "float32", PASS),
        ("tpu", "highest", PASS),
        ("cpu", "bfloat16", FLAG),
        ("gpu", "tensorfloat32", FLAG),
    ],
)
def test_products_must_be_of_float32(backend, precision, verdict):
    place = {"backend": backend, "default_matmul_precision": precision}
    finding = report_checks.parity_record(bench(), records.environment() | place)
    assert finding.verdict == verdict
    assert str(precision) in finding.says


def between_two_grid_images():
    """A point of another class than its 8-bit image's, and both classes."""
    x, labels, _ = scenes.data()
    weights = np.asarray(scenes.net().args[0], np.float64)
    other = (labels[0] + 1) % scenes.CLASSES
    uphill = np.sign(weights[other] - weights[labels[0]]).reshape(scenes.SHAPE)
    way = x[0] + np.linspace(0, 0.3, 20_001)[:, None, None] * uphill
    classes, rounded = (
        (points.reshape(len(way), -1) @ weights.T).argmax(axis=1)
        for points in (way, np.round(way * 255) / 255)
    )
    found = np.flatnonzero(classes != rounded)[0]
    return way[found].astype(np.float32), classes[found], rounded[found]


def test_the_memo_says_what_survives_eight_bits():
    point, own, rounded = between_two_grid_images()
    _, labels, _ = scenes.data()
    winner, x_adv = np.full(N, -1), scenes.data()[0].copy()
    winner[:2], x_adv[:2] = 0, point
    labels = np.concatenate([[own, rounded], labels[2:]])
    finding = report_checks.eight_bits(
        bench(winner=winner, labels=labels, x_adv=x_adv, clean=np.ones(N, bool))
    )
    assert (finding.verdict, finding.value) == (PASS, 0.5)
    assert "memo" in finding.says
    labels[:2] = rounded  # Adversarial before, right as an image: nothing survives.
    both = bench(winner=winner, labels=labels, x_adv=x_adv, clean=np.ones(N, bool))
    assert report_checks.eight_bits(both).value == 0


def test_the_memo_is_flagged_where_the_rounded_image_has_no_answer():
    nowhere = np.full_like(scenes.data()[0], np.nan)
    finding = report_checks.eight_bits(bench(x_adv=nowhere))
    assert finding.verdict == FLAG and "no finite logits" in finding.says
    nobody = bench(winner=np.where(WINNER == -2, -2, -1))
    assert report_checks.eight_bits(nobody).verdict == SKIPPED
