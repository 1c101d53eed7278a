"""Each check of the model: one that it flags, and one that it does not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import stats

from robust_jax import attacks, threats
from robust_jax.core.types import Attack
from robust_jax.evaluate import Stage, likeliest_targets
from robust_jax.evaluate.audit import model_checks, probes, run_audit
from robust_jax.evaluate.audit.finding import FLAG, PASS, SKIPPED, checks_of
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.evaluate.claims import margins, predict
from robust_jax.losses import objectives
from tests import victims
from tests.evaluate.audit import scenes

CHECKS = checks_of(model_checks)
SIZE, CLASSES, N, TILE, EPS = 16, 4, 40, 16, 0.1
IMAGES = victims.inputs((SIZE,), N, seed=1, low=0.15, high=0.85)
HONEST = {
    "killed": 0.0,  # share of the images, by their first pixel
    "seen": np.ones(SIZE),  # factor of each pixel's gradient
    "scale": 1.0,
    "offset": 0.0,
    "steep": 0.0,  # 1: a square root whose derivative is infinite off the images
    "limit": np.inf,  # of the first pixel, beyond which the logits are NaN
}


def victim(p, x):
    """A ReLU net, in whose way to hide what it does the parameters are data."""
    fixed = jax.lax.stop_gradient(x)
    seen = fixed + p["seen"] * (x - fixed)
    seen = jnp.where(x[0] < 0.15 + 0.7 * p["killed"], fixed, seen)
    logits = p["second"] @ jax.nn.relu(p["first"] @ seen) * p["scale"] + p["offset"]
    off = jnp.max(jnp.abs(fixed * 64 - jnp.round(fixed * 64))) > 1e-3
    root = jnp.sqrt(jnp.where(off & (p["steep"] > 0), 0, 1) * jnp.sum(x * x))
    return jnp.where(x[0] > p["limit"], jnp.nan, logits + 0 * root)


def net(**changes):
    """The victim as a Partial: all of them share their compiled programs."""
    rng = np.random.default_rng(0)
    weights = {"first": rng.normal(size=(32, SIZE)) / 4}
    weights["second"] = rng.normal(size=(CLASSES, 32))
    values = weights | HONEST | changes
    return Partial(victim, {k: jnp.asarray(v, jnp.float32) for k, v in values.items()})


@functools.cache
def labels():
    return victims.predicted(net(), IMAGES)


def bench(model=None, images=IMAGES, *, batch_model=None, **fields):
    """All points of an evaluation in which no attack was tried."""
    model = net() if model is None else model
    logits = predict(model, images, TILE)
    clean = margins(logits, labels()) < 0
    threat, winner = threats.Linf(EPS), np.where(clean, -1, -2)
    subject = scenes.untouched(model, threat, images, labels(), logits, tile=TILE)
    fields = {"clean": clean, "winner": winner, "batch_model": batch_model} | fields
    return Bench(scenes.changed(subject, **fields), N)


@functools.cache
def honest():
    return bench()


@functools.cache
def killed_on_half():
    return bench(net(killed=0.5))


@functools.cache
def hot():
    """At a temperature at which float32's cross entropy ends."""
    return bench(net(scale=1000.0))


def batch(x):
    """The honest net over a batch, in NumPy: nothing to compile for each size."""
    first, second = (np.asarray(net().args[0][name]) for name in ("first", "second"))
    return np.maximum(np.asarray(x) @ first.T, 0) @ second.T


def by_position(x):
    """The second half of a batch is told another bias."""
    is_second = np.arange(len(x)) >= len(x) // 2
    return batch(x) + is_second[:, None] * np.arange(CLASSES)


def by_statistics(x):
    return batch(x) - 0.2 * batch(x).mean(axis=0)


def by_size(x):
    return batch(x) * (2 if len(x) == 1 else 1)


class Random:
    """A net with another answer at each call."""

    def __init__(self):
        self.draws = np.random.default_rng(0)

    def __call__(self, x):
        return batch(x + 0.01 * self.draws.normal(size=x.shape))


@pytest.mark.parametrize("check", CHECKS)
def test_an_honest_net_passes(check):
    finding = check(honest())
    assert finding.verdict == PASS, finding.says


def test_the_numbers_are_in_order():
    numbers = tuple(check(honest()).number for check in CHECKS)
    assert numbers == (1, 2, 3, 5, 6, 18)


def test_the_order_of_the_examples_does_not_matter():
    subject, order = killed_on_half().subject, np.random.default_rng(0).permutation(N)
    names = ("images", "labels", "ids", "logits", "clean", "x_adv", "winner")
    mixed = {name: getattr(subject, name)[order] for name in names}
    shuffled = scenes.changed(subject, **mixed)
    audits = [run_audit(s, points=20, checks=CHECKS) for s in (subject, shuffled)]
    assert audits[0].findings == audits[1].findings
    assert audits[0].backwards == audits[1].backwards > 0


def test_a_point_is_probed_alike_among_other_points():
    everyone, subject = honest(), honest().subject
    half = everyone.index[1::2]
    names = ("images", "labels", "ids", "logits", "clean", "x_adv", "winner")
    fewer = {name: getattr(subject, name)[half] for name in names}
    alone = Bench(scenes.changed(subject, **fewer), N)
    np.testing.assert_array_equal(alone.images, everyone.images[1::2])
    for found, known in zip(
        probes.probes(alone).around, probes.probes(everyone).around, strict=True
    ):
        np.testing.assert_array_equal(found, known[1::2])


@pytest.mark.parametrize(
    ("model", "how"),
    [
        (by_position, "in another order"),
        (by_statistics, "in another order"),
        (by_size, "one by one"),
        (Random(), "asked twice"),
    ],
)
def test_answers_that_depend_on_more_than_the_image_are_flagged(model, how):
    finding = model_checks.inputs_and_outputs(bench(batch_model=model))
    assert finding.verdict == FLAG
    assert how in finding.says


def test_a_batch_function_without_such_tricks_passes():
    assert model_checks.inputs_and_outputs(bench(batch_model=batch)).verdict == PASS


def test_attacks_that_saw_another_model_are_flagged():
    shifted = batch(IMAGES) + 0.1 * np.arange(CLASSES)
    finding = model_checks.inputs_and_outputs(bench(logits=shifted))
    assert finding.verdict == FLAG and "as the attacks see them" in finding.says


def test_a_net_that_is_declared_random_may_answer_twice():
    declared = bench(batch_model=Random(), samples=4)
    assert model_checks.inputs_and_outputs(declared).verdict == PASS


def test_pixels_outside_the_box_are_flagged_and_counted():
    x_adv = IMAGES.copy()
    x_adv[3, :2] = 1.01, np.nan
    finding = model_checks.inputs_and_outputs(bench(x_adv=x_adv))
    assert (finding.verdict, finding.value) == (FLAG, 2)


def test_nan_logits_at_an_image_and_near_one_are_flagged():
    logits = predict(net(), IMAGES, TILE)
    logits[5, 0] = np.nan
    finding = model_checks.inputs_and_outputs(bench(logits=logits))
    assert finding.verdict == FLAG and "1 clean images" in finding.says
    beyond = net(limit=float(IMAGES[:, 0].max()) + 0.01)
    finding = model_checks.inputs_and_outputs(bench(beyond))
    assert finding.verdict == FLAG and "somewhere in the threat set" in finding.says
    assert 0 < finding.value < 0.5


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_probabilities_are_flagged_at_any_scale(scale):
    logits = scale * np.asarray(jax.nn.softmax(honest().subject.logits))
    finding = model_checks.logits_not_probabilities(bench(logits=logits))
    assert finding.verdict == FLAG and "probabilities" in finding.says


def test_log_probabilities_and_small_logits_pass():
    logits = honest().subject.logits
    for harmless in (np.asarray(jax.nn.log_softmax(logits)), 1e-6 * logits):
        finding = model_checks.logits_not_probabilities(bench(logits=harmless))
        assert finding.verdict == PASS, finding.says


def test_a_temperature_is_flagged():
    finding = model_checks.logits_not_probabilities(hot())
    assert finding.verdict == FLAG and "nats" in finding.says


def shares(logits, goal):
    """The users' own: flat where the net is sure."""
    return -jax.nn.softmax(logits)[goal.label]


def lead(logits, goal):
    return jnp.max(logits[1:]) - logits[goal.label]


CE = attacks.pgd(objective=objectives.cross_entropy)
MARGIN = attacks.pgd(objective=objectives.margin)
BY_HAND = Attack(*(getattr(MARGIN, name) for name in Attack._fields))


@pytest.mark.parametrize(
    ("attack", "verdict"),
    [
        (attacks.apgd(objectives.dlr), PASS),
        (attacks.fab(), PASS),
        (attacks.pgd(objective=objectives.margin), PASS),
        (attacks.through(attacks.pgd(objective=objectives.margin)), PASS),
        (attacks.pgd(objective=lead), PASS),
        (attacks.pgd(objective=shares), FLAG),
        (attacks.gama_pgd(), FLAG),
        (BY_HAND, FLAG),
        (CE, FLAG),
    ],
    ids=["dlr", "fab", "margin", "inside", "own", "shares", "gama", "by hand", "ce"],
)
def test_a_scale_of_the_logits_is_no_fault_where_the_plan_does_not_depend_on_it(
    attack, verdict
):
    """What a stage is called decides nothing."""
    name = "pgd-40 ce" if verdict == PASS else "apgd-t margin"
    plan = Stage("first", CE), Stage(name, attack)
    subject = dataclasses.replace(hot().subject, plan=plan)
    for check in (
        model_checks.logits_not_probabilities,
        model_checks.gradients_are_there,
        model_checks.loss_follows_success,
    ):
        finding = check(Bench(subject, N))
        assert finding.verdict == verdict, finding.says


def test_labels_classes_and_chance_are_flagged():
    wrong = labels().copy()
    wrong[[2, 7]] = CLASSES, -1
    finding = model_checks.labels_and_classes(bench(labels=wrong))
    assert (finding.verdict, finding.value) == (FLAG, 2)
    shifted = bench(clean=np.zeros(N, bool))
    assert "guessing" in model_checks.labels_and_classes(shifted).says
    three = {"logits": honest().subject.logits[:, :3], "labels": labels() % 3}
    dlr, towards = attacks.apgd(objectives.dlr), likeliest_targets(2)
    for stage, verdict in (
        (Stage("ce", dlr, towards), FLAG),
        (Stage("apgd-t", dlr), PASS),
        (Stage("apgd-t", attacks.apgd(), towards), PASS),
    ):
        planned = bench(plan=(stage,), **three)
        assert model_checks.labels_and_classes(planned).verdict == verdict


def test_gradients_that_are_killed_on_half_of_the_points_are_flagged():
    differences = model_checks.gradients_tell_the_truth(killed_on_half())
    assert differences.verdict == FLAG
    assert 0.3 < differences.value < 0.8
    shares = model_checks.gradients_are_there(killed_on_half())
    assert shares.verdict == FLAG and "wholly zero" in shares.says
    assert 0.3 < shares.value < 0.8


def test_a_gradient_of_another_function_is_flagged():
    backwards = bench(net(seen=-np.ones(SIZE)))
    assert model_checks.gradients_tell_the_truth(backwards).verdict == FLAG
    assert model_checks.gradients_are_there(backwards).verdict == PASS


def test_pixels_that_the_gradient_does_not_see_are_flagged():
    half_seen = bench(net(seen=np.arange(SIZE) % 3 == 0))
    assert model_checks.gradients_tell_the_truth(half_seen).verdict == FLAG
    finding = model_checks.gradients_are_there(half_seen)
    assert finding.verdict == FLAG and "in most pixels" in finding.says


def test_logits_that_hardly_leave_a_constant_are_flagged():
    still = bench(net(scale=1e-6, offset=8.0))
    finding = model_checks.gradients_tell_the_truth(still)
    assert finding.verdict == FLAG and "float32 rounds" in finding.says
    assert model_checks.gradients_are_there(still).verdict == PASS


def test_a_gradient_that_is_no_number_off_the_images_is_flagged():
    images = np.round(IMAGES * 64).astype(np.float32) / 64
    steep = bench(net(steep=1.0), images, labels=victims.predicted(net(), images))
    finding = model_checks.gradients_are_there(steep)
    assert finding.verdict == FLAG
    assert "at random points are not finite" in finding.says


def test_small_logits_have_honest_gradients():
    small = bench(net(scale=1e-6))
    assert model_checks.gradients_tell_the_truth(small).verdict == PASS
    assert model_checks.gradients_are_there(small).verdict == PASS


def test_half_precision_is_no_dishonesty():
    finding = model_checks.gradients_tell_the_truth(bench(Partial(rounded, net())))
    assert finding.verdict == PASS, finding.says


def rounded(model, x):
    return model(x).astype(jnp.bfloat16).astype(jnp.float32)


def test_cross_entropy_that_underflows_does_not_follow_success():
    finding = model_checks.loss_follows_success(hot())
    assert finding.verdict == FLAG and "rank correlation" in finding.says
    assert "cross entropy's gradients" in model_checks.gradients_are_there(hot()).says


def test_without_a_right_example_or_a_radius_there_is_nothing_to_ask():
    nobody = bench(clean=np.zeros(N, bool))
    for check in CHECKS[3:]:
        assert check(nobody).verdict == SKIPPED
    still = bench(threat=threats.Linf(0.0))
    assert model_checks.gradients_tell_the_truth(still).verdict == SKIPPED


def test_spearman_is_scipy_s():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30), rng.normal(size=30)
    expected = stats.spearmanr(a, b).statistic
    assert model_checks.spearman(a, b) == pytest.approx(expected, abs=1e-12)
    assert model_checks.spearman(a, np.ones(30)) == 0
    assert model_checks.spearman(a, np.where(a > 3, np.nan, b)) == 0
