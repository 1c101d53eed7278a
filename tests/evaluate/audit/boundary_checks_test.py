"""The check of margin and class: on an honest net, and behind heads that mislead."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.evaluate.audit import boundary_checks
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED
from robust_jax.models import fake_heads
from tests import victims
from tests.evaluate.audit import scenes


def balanced(offset, x):
    """The affine net, its classes equally likely in the middle of the data."""
    return scenes.net()(x) - offset


def net():
    logits = scenes.data()[2]
    return Partial(balanced, jnp.asarray(np.median(logits, axis=0), jnp.float32))


def checked(head=None, **knobs):
    model = net() if head is None else head(net(), **knobs)
    labels = victims.predicted(net(), scenes.data()[0])
    assert len(np.unique(labels)) == scenes.CLASSES
    bench = scenes.bench(model, labels=labels)
    return boundary_checks.margin_at_the_boundary(bench), bench


def test_an_honest_net_passes():
    finding, bench = checked()
    assert (finding.verdict, finding.value) == (PASS, 0), finding.says
    assert bench.forwards <= 70 * len(bench) and not bench.backwards


@pytest.mark.parametrize(
    ("head", "knobs"),
    [
        (fake_heads.distraction, {"bonus": 2.0, "waves": 4.0}),
        (fake_heads.distraction, {"bonus": 20.0, "waves": 30.0}),
        (fake_heads.wavy_temperature, {"depth": 3.0, "waves": 60.0}),
        (fake_heads.decoy, {"lead": 2.0}),
    ],
)
def test_a_margin_that_does_not_lead_to_the_boundary_is_flagged(head, knobs):
    finding, _ = checked(head, **knobs)
    assert finding.verdict == FLAG, finding.says


@pytest.mark.parametrize(
    ("head", "knobs"),
    [
        (fake_heads.distraction, {"bonus": 0.0}),
        (fake_heads.wavy_temperature, {"depth": 0.0}),
    ],
)
def test_a_head_that_does_nothing_passes(head, knobs):
    assert checked(head, **knobs)[0].verdict == PASS


def test_with_one_class_there_is_no_way_to_another():
    finding = boundary_checks.margin_at_the_boundary(scenes.bench())
    assert finding.verdict == SKIPPED


def rounded(head, offset, x):
    """Logits that all rise together, in sixteen bits."""
    return (head(x) + offset).astype(jnp.bfloat16).astype(jnp.float32)


@pytest.mark.parametrize(
    ("head", "offset", "verdict"),
    [
        (net(), 0.0, PASS),
        (net(), 30.0, PASS),
        (net(), 300.0, SKIPPED),  # A step is as large as all that the margin does.
        (fake_heads.distraction(net(), bonus=20.0, waves=30.0), 0.0, FLAG),
        (fake_heads.decoy(net(), lead=2.0), 30.0, FLAG),
    ],
    ids=["plain", "shifted", "coarse", "distraction", "decoy"],
)
def test_logits_in_sixteen_bits_are_honest(head, offset, verdict):
    model = Partial(rounded, head, jnp.float32(offset))
    labels = victims.predicted(model, scenes.data()[0])
    finding = boundary_checks.margin_at_the_boundary(scenes.bench(model, labels=labels))
    assert finding.verdict == verdict, finding.says


def in_boxes(reach):
    """A bench whose images each have a box of their own."""
    x = scenes.data()[0]
    lower, upper = np.maximum(x - reach, 0), np.minimum(x + reach, 1)
    labels = victims.predicted(net(), x)
    threat = threats.Linf(scenes.EPS, lower, upper)
    return scenes.bench(net(), labels=labels, threat=threat)


@pytest.mark.parametrize(("reach", "verdict"), [(0.3, PASS), (0.01, SKIPPED)])
def test_the_way_stays_in_the_box_of_each_image(reach, verdict):
    """In a narrow one no other class is met, and nothing is said of a margin there."""
    bench = in_boxes(reach)
    asked, seen = bench.logits, []
    bench.logits = lambda images: seen.append(images) or asked(images)
    finding = boundary_checks.margin_at_the_boundary(bench)
    assert finding.verdict == verdict, finding.says
    for images in seen:
        assert (images >= bench.threat.lower - 1e-6).all()
        assert (images <= bench.threat.upper + 1e-6).all()
