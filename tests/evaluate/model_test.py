"""Nets of one example, of batches, random ones, in half precision; several at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, report as rj_report, threats
from robust_jax.core.streams import OfPlan
from robust_jax.evaluate import Layout, Stage, compare, plans, robustness
from robust_jax.evaluate.model import adapted, fresh_right
from robust_jax.losses import objectives
from tests import victims

N, SIZE, CLASSES, SAMPLES = 24, 6, 3, 40
NET = victims.affine_victim((SIZE,), CLASSES)
IMAGES = victims.inputs((SIZE,), N, seed=2)
LABELS = victims.predicted(NET, IMAGES)
BIM = (Stage("bim", attacks.bim(3, 0.5, objectives.margin)),)
MARGINS = np.sort(np.asarray(jax.vmap(NET)(IMAGES)), axis=1)[:, ::-1]


def of_batch(weights, images):
    """Insists on a batch axis."""
    assert images.ndim == 2
    return images @ weights.T


def noisy(weights, scale, x, key):
    """A random net: the logits with Gaussian noise."""
    return weights @ x + scale * jax.random.normal(key, (CLASSES,))


def in_half(weights, x):
    return (weights @ x).astype(jnp.bfloat16)


def judged(model, **options):
    options = {"plan": BIM, "layout": Layout(tile=8), "audit": False, **options}
    return robustness(model, IMAGES, LABELS, threats.Linf(0.05), **options)


@functools.cache
def plain():
    return judged(NET)


def test_a_net_of_batches_gives_the_same_findings():
    report = judged(Partial(of_batch, NET.args[0]), takes="batch")
    np.testing.assert_array_equal(report.winner, plain().winner)
    np.testing.assert_allclose(report.x_adv, plain().x_adv, atol=1e-6)
    assert 0 < (report.winner == 0).sum() < N


def test_subset_and_ids_choose_examples():
    mask = np.arange(N) % 3 == 0
    for subset in (mask, np.flatnonzero(mask), slice(None, None, 3)):
        report = judged(NET, subset=subset)
        np.testing.assert_array_equal(report.x_adv, plain().x_adv[mask])
        np.testing.assert_array_equal(report.ids, plain().ids[mask])
    radii = threats.Linf(np.where(mask, 0.0, 0.05))  # The radii go with them.
    report = robustness(NET, IMAGES, LABELS, radii, subset=mask, plan=BIM, audit=False)
    assert (report.winner == -1).all()


def test_logits_in_half_precision_are_judged_in_single():
    net = adapted(Partial(in_half, NET.args[0]), IMAGES, "example", 1, 0)
    assert net.logits_fn(IMAGES[0]).dtype == jnp.float32
    report = judged(Partial(in_half, NET.args[0]))
    far = MARGINS[:, 0] - MARGINS[:, 1] > 0.1  # Beyond the rounding of eight bits.
    np.testing.assert_array_equal(report.clean[far], True)
    differ = report.winner != plain().winner
    assert differ.mean() < 0.15 and (report.winner == 0).any()


def random_net(scale):
    return Partial(noisy, NET.args[0], jnp.float32(scale))


def test_the_verdict_on_a_random_net_is_the_majority_of_fresh_answers():
    net = adapted(random_net(0.5), IMAGES, "example and key", SAMPLES, 0)
    ids = np.arange(N, dtype=np.uint64)
    right = fresh_right(net, IMAGES, LABELS, ids, 0, OfPlan.VERDICT)
    lead = MARGINS[:, 0] - MARGINS[:, 1]
    assert (right[lead > 3] == SAMPLES).all()
    assert right[lead < 0.3].mean() < 0.9 * SAMPLES
    # Nothing but the example's own name decides the draws.
    some = np.array([7, 3])
    alone = fresh_right(net, IMAGES[some], LABELS[some], ids[some], 0, OfPlan.VERDICT)
    np.testing.assert_array_equal(alone, right[some])
    for other in ((1, OfPlan.VERDICT), (0, OfPlan.CLAIMS)):
        assert (fresh_right(net, IMAGES, LABELS, ids, *other) != right).any()
    certain = adapted(random_net(0.0), IMAGES, "example and key", 3, 0)
    same = fresh_right(certain, IMAGES, LABELS, ids, 0, OfPlan.VERDICT)
    np.testing.assert_array_equal(same, 3)


def test_a_random_net_under_the_plan_rand():
    plan = tuple(
        Stage(stage.name, stage.attack) for stage in plans.rand("linf", CLASSES)[:1]
    )
    options = {"takes": "example and key", "samples": SAMPLES, "plan": plan}
    report = judged(random_net(0.3), **options)
    assert report.samples == SAMPLES
    fallen = report.winner == 0
    assert 0 < fallen.sum() < N
    assert (report.right_share[fallen] <= 0.5).all()
    assert (report.right_share[report.winner == -1] > 0.5).all()
    assert f"majority of {SAMPLES} fresh answers" in str(report)
    # Other answers than those of the verdict: chance may move what is near 1/2.
    assert report.claims.passed and report.claims.samples == SAMPLES
    still = threats.Linf(0.0)
    nothing = robustness(random_net(1e-4), IMAGES, LABELS, still, audit=False,
                         layout=Layout(tile=8), **options)  # fmt: skip
    assert (nothing.winner == -1).all() and nothing.claims.n == 0
    # A hardly random net falls where the net itself does.
    quiet = judged(random_net(1e-4), **options)
    assert (quiet.winner == plain().winner).mean() > 0.9


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        (NET, {"takes": "image"}, "takes='image'; expected one of example, batch"),
        (Partial(of_batch, NET.args[0]), {"takes": "batch", "plan": "swft"},
         "unknown plan 'swft'; did you mean 'swift'"),
        (NET, {"plan": "rand"}, "plan='rand' is for random nets; expected takes="),
        (lambda x: jnp.zeros((2, 3)), {}, "gave outputs of shape .2, 3.; expected"),
        (lambda x: x[:, :2].sum(), {"takes": "batch"}, "gave outputs of shape"),
        (random_net(1.0), {"takes": "example and key", "samples": 1},
         "samples=1; a random net needs at least 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(model, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        judged(model, **options)


def test_several_models_in_one_report(tmp_path):
    nets = {"first": NET, "second": victims.affine_victim((SIZE,), CLASSES, seed=1)}
    options = {"plan": BIM, "layout": Layout(tile=8), "audit": False}
    threat = threats.Linf(0.05)
    found = compare(nets, IMAGES, LABELS, threat, journal=tmp_path / "j", **options)
    np.testing.assert_array_equal(found.reports["first"].winner, plain().winner)
    assert {row["model"] for row in found.rows()} == {"first", "second"}
    assert len(found.rows()) == 6 and "second: cite as" in str(found)
    folder = found.save(tmp_path / "out")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["first", "index.html", "record.json", "second"]
    record = rj_report.read(folder)
    assert (record["experiment"], len(record["rows"])) == ("compare", 6)
    one = rj_report.read(folder / "second")
    assert record["series"]["evaluations"]["second"] == one["series"]["evaluation"]
    assert record["rows"][3:] == one["rows"]
    assert (tmp_path / "j" / "second" / "journal.json").exists()
    assert found.passed
    with pytest.raises(ValueError, match="at least one model"):
        compare({}, IMAGES, LABELS, threat)
    with pytest.raises(ValueError, match="fit for a file"):
        compare({"a/b": NET}, IMAGES, LABELS, threat)
