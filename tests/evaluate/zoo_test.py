"""The audit on fake defences, each of which must raise its flag, and on honest nets.

`make test` takes one of each kind; `make test-full` the whole zoo.
"""

import functools

import pytest

from robust_jax import attacks, threats
from robust_jax.evaluate import Stage, likeliest_targets, robustness
from robust_jax.evaluate.audit import CHECKS
from robust_jax.losses import objectives
from robust_jax.models import fake_catalog, fakes
from tests import zoo

N, THREAT = 64, threats.Linf(0.1)
# Strong enough for an honest net: what this leaves, the audit's attacks do not break.
PLAN = (
    Stage("apgd-ce", attacks.apgd(steps=50)),
    Stage("apgd-t", attacks.apgd(objectives.dlr, 50), likeliest_targets(9)),
    Stage("square", attacks.square(500, horizon=500)),
)
# A temperature fools cross entropy alone: with PLAN the number is right.
BY_CROSS_ENTROPY = PLAN[:1]
QUICK = ("gradient_killer", "mlp", "mild")
UNHIDDEN = "mlp-unhidden"  # With the programs of QUICK.


def marks(case):
    """Both strengths of a fake share their programs, so one process runs them."""
    group = pytest.mark.xdist_group(f"zoo-{case[0]}-{case[1]}")
    return [group] if case == QUICK else [group, pytest.mark.full]


CASES = [
    pytest.param(*case, marks=marks(case), id="-".join(case))
    for fake in fake_catalog.list_fakes()
    for family in zoo.BASES
    for strength in fake_catalog.STRENGTHS
    for case in [(fake.name, family, strength)]
]


@functools.cache
def report(model, takes="example", plan=PLAN):
    """The report of a net on the zoo's digits."""
    images, labels = zoo.test_digits(N)
    options = {"plan": plan, "takes": takes, "samples": 8}
    return robustness(model, images, labels, THREAT, **options)


@pytest.mark.parametrize(("name", "family", "strength"), CASES)
def test_a_fake_raises_its_flag(name, family, strength):
    fake = fake_catalog.by_name(name)
    model, expected = zoo.fake_net(name, family, strength, N), getattr(fake, strength)
    plan = BY_CROSS_ENTROPY if name == "temperature" else PLAN
    if not expected.checks:
        return  # Its number is right, see `experiments.selfchecks.zoo`.
    if 1 in expected.checks or 2 in expected.checks:
        try:
            found = report(model, fake.takes, plan)
        except ValueError as refusal:  # Before anything is attacked, in a sentence.
            assert "logits" in str(refusal)
            return
    else:
        found = report(model, fake.takes, plan)
    flags = {finding.number for finding in found.audit.flags}
    assert set(expected.checks) & flags, f"expected {expected.checks}, flags {flags}"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            UNHIDDEN, marks=pytest.mark.xdist_group("zoo-gradient_killer-mlp")
        ),
        *(pytest.param(name, marks=pytest.mark.full) for name in zoo.HONEST),
    ],
)
def test_an_honest_net_raises_none(name):
    honest = {UNHIDDEN: fakes.gradient_killer(zoo.net("mlp"), 0.0)}
    found = report(honest[name] if name in honest else zoo.net(name))
    assert found.audit.flags == (), str(found.audit)
    numbers = [finding.number for finding in found.audit.findings]
    assert numbers == [check.number for check in CHECKS]
