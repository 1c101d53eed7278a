"""Audits asked at the front door and again: points, cost, and what the report says."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, interop, threats
from robust_jax.evaluate import Layout, Stage, robustness
from robust_jax.evaluate.audit import Audit, Finding, tactics
from robust_jax.evaluate.audit.finding import FLAG
from robust_jax.evaluate.hard_label import hard_label
from robust_jax.evaluate.model import is_as_it_was
from robust_jax.losses import objectives
from tests.evaluate.audit import scenes

PLAN = (Stage("pgd", attacks.pgd(4, 0.4, objectives.margin)),)


def judged(how, eps=scenes.EPS, **options):
    x, labels, _ = scenes.data()
    threat, layout = threats.Linf(eps), Layout(tile=scenes.TILE)
    options = {"plan": PLAN, "layout": layout, **options}
    return robustness(scenes.net(how), x, labels, threat, **options)


@functools.cache
def hidden():
    """The plan sees no gradient and breaks next to nothing."""
    return judged(scenes.KILLED, points=20)


def test_points_are_what_every_check_looks_at():
    looked_at = {finding.points for finding in hidden().audit.findings}
    assert looked_at == {0, 20}
    assert not any("share" in f.says for f in hidden().audit.findings)


def test_by_default_an_audit_costs_a_quarter_at_most_and_says_what_it_left_out():
    # 16 points of what is always asked cost 5,120.
    plan = (Stage("pgd", attacks.pgd(4, 0.4, objectives.margin), restarts=50),)
    report = judged(scenes.KILLED, plan=plan)
    cost = report.audit.forwards + 2 * report.audit.backwards
    assert cost <= 0.25 * (report.forwards + 2 * report.backwards)
    assert 0 < report.audit.share <= 0.25
    left_out = [f for f in report.audit.findings if "audit_again" in f.says]
    assert left_out and all(f.verdict == "skipped" for f in left_out)
    assert {1, 5, 6, 14, 18} & {f.number for f in left_out} <= {14}


def test_where_the_plan_left_nothing_an_audit_never_costs_more():
    report = judged(scenes.HONEST, eps=0.5)
    assert report.robust_accuracy.value == 0
    assert report.audit.share <= 0.25
    assert {1, 5, 6, 18} <= {f.number for f in report.audit.findings if not f.points}


def test_a_report_is_audited_again_with_more_points():
    more = hidden().audit_again(points=40)
    assert {finding.points for finding in more.audit.findings} == {0, 40}
    assert hidden().audit.points == 20
    np.testing.assert_array_equal(more.winner, hidden().winner)
    # With the net that does not hide as the surrogate, transfer breaks more.
    undefended = hidden().audit_again(points=40, surrogate=scenes.net())
    assert _of(undefended, 13).value >= _of(more, 13).value
    assert "the surrogate" in _of(undefended, 13).says


def test_what_is_not_to_be_trusted_says_so_first():
    first, *_, last = str(hidden()).splitlines()
    assert first.startswith("This number is not to be trusted: see check ")
    assert "check 14 (hard label)" in first
    assert last.startswith("not to be cited as it stands: robust accuracy is at most ")
    assert hidden().to_json()["distrust"] == first


def test_what_is_to_be_trusted_says_nothing():
    report = judged(scenes.HONEST, audit=False)
    assert report.distrust is None
    assert "trusted" not in str(report)
    assert "cite as: robust accuracy" in str(report)


def test_a_wide_interval_is_flagged_and_no_reason_for_distrust():
    report = judged(scenes.HONEST, audit=False)
    wide = Finding(23, "interval", FLAG, 0.3, "<= 0.15", "says", "remedy")
    audit = Audit((wide,), 0, 0, 0, 0.0)
    assert report.audited(audit).distrust is None
    other = wide._replace(number=14, name="hard label")
    audit = dataclasses.replace(audit, findings=(wide, other))
    sentence = "This number is not to be trusted: see check 14 (hard label)."
    assert report.audited(audit).distrust == sentence


@pytest.mark.parametrize("points", [0, -1, 2.5, "many"])
def test_points_that_no_audit_can_look_at_are_refused(points):
    with pytest.raises((ValueError, TypeError), match=f"points={points!r}"):
        judged(scenes.HONEST, points=points)
    with pytest.raises((ValueError, TypeError), match=f"points={points!r}"):
        hidden().audit_again(points=points)


def test_points_without_an_audit_are_refused():
    with pytest.raises(ValueError, match=r"points=9 with audit=False; expected"):
        judged(scenes.HONEST, audit=False, points=9)


@pytest.mark.parametrize("last", [hard_label(1), attacks.worst_of(1)])
def test_a_token_search_at_the_end_of_a_plan_switches_no_check_off(last):
    """Checks 12 and 14 search by themselves, and find what no gradient led to."""
    plan = (*PLAN, Stage("labels 300", last))
    report = judged(scenes.KILLED, plan=plan, points=20)
    for number in (12, 14):
        assert _of(report, number).verdict == FLAG
        assert "of 20 points" in _of(report, number).says


def lead(logits, goal):
    """An objective of the user's, which is alive wherever the margin is."""
    return jnp.max(jnp.delete(logits, 0)) - logits[goal.label]


def test_what_a_users_objective_climbs_is_known_behind_the_front_door():
    """There an attack is told from the same one at another time."""
    plan = (Stage("pgd-40 ce", attacks.pgd(4, 0.4, lead)),)
    run = judged(scenes.HONEST, audit=False, plan=plan).evaluation
    assert tactics.no_scale_hides_from(run.plan[0], scenes.CLASSES)


def half(x):
    return scenes.net()(x)[:2]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"surrogate": 3}, "surrogate of type int; expected a function"),
        ({"surrogate": half}, r"surrogate=... gives 2 logits; expected the model's 3"),
        (
            {"surrogate": interop.from_host(np.asarray, 3)},
            "surrogate=... cannot be differentiated .*has no gradient",
        ),
        ({"certified": np.zeros(3, bool)}, r"certified of bool and shape \(3,\)"),
        ({"certified": np.zeros(scenes.N)}, "certified of float64 and shape"),
        ({"certified": "all"}, "certified="),
    ],
    ids=["no net", "classes", "no gradient", "few", "numbers", "text"],
)
def test_what_no_audit_can_use_is_refused_in_a_sentence(given, says):
    for call in (hidden().audit_again, functools.partial(judged, scenes.HONEST)):
        with pytest.raises((ValueError, TypeError), match=says):
            call(**given)


def test_an_audit_of_images_that_were_written_to_is_refused():
    x, labels, _ = scenes.data()
    mine = x.copy()
    threat, options = threats.Linf(scenes.EPS), {"plan": PLAN, "audit": False}
    report = robustness(scenes.net(), mine, labels, threat, **options)
    mine[...] = mine[::-1].copy()
    with pytest.raises(ValueError, match="images: the array was written to since"):
        report.audit_again(points=16)


def test_an_audit_of_a_batch_form_with_other_weights_is_refused():
    x, labels, _ = scenes.data()
    held = {"weights": scenes.net().args[0]}
    report = robustness(
        lambda batch: batch.reshape(len(batch), -1) @ held["weights"].T,
        x,
        labels,
        threats.Linf(scenes.EPS),
        plan=PLAN,
        audit=False,
        takes="batch",
    )
    assert is_as_it_was(report.evaluation.model, x[0])
    held["weights"] = -held["weights"]
    with pytest.raises(ValueError, match="model: it is another one than when the rep"):
        report.audit_again(points=16)


def _of(report, number):
    return next(f for f in report.audit.findings if f.number == number)
