"""A journal is of one evaluation: what would let it take another's items is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sklearn import svm

from robust_jax import attacks, interop, threats
from robust_jax.core import exports
from robust_jax.core.types import Towards
from robust_jax.evaluate import (
    Layout,
    Stage,
    compare,
    each_wrong_class,
    identity,
    robustness,
)
from robust_jax.losses import objectives
from tests import victims

SIZE, CLASSES, N, BEYOND, MIDDLE = 4, 3, 12, 0.9, 0.45
IMAGES = victims.inputs((SIZE,), N, seed=2, high=BEYOND)
WEIGHTS = np.random.default_rng(0).normal(size=(CLASSES, SIZE)).astype(np.float32)
BIM = attacks.bim(3, 0.5, objectives.margin)
PLAN = (Stage("bim", BIM, each_wrong_class),)


def hinged(weights, beyond, x):
    """Affine, but for what no clean image reaches: a first pixel above BEYOND."""
    return weights @ (x - MIDDLE) + beyond * jnp.maximum(x[0] - BEYOND, 0)


def net(beyond=(0.0, 0.0, 0.0)):
    return Partial(hinged, jnp.asarray(WEIGHTS), jnp.asarray(beyond, jnp.float32))


LABELS = victims.predicted(net(), IMAGES)


def judged(model=None, **options):
    threat = options.pop("threat", threats.Linf(0.1))
    options = {"plan": PLAN, "layout": Layout(tile=8), "audit": False, **options}
    return robustness(
        net() if model is None else model, IMAGES, LABELS, threat, **options
    )


def the_last_class_first(labels, logits):
    return tuple(
        Towards(labels, (labels + shift) % CLASSES)
        for shift in range(CLASSES - 1, 0, -1)
    )


def test_the_same_evaluation_goes_on_without_an_attack(tmp_path):
    first, again = (judged(journal=tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first.x_adv, again.x_adv)
    assert 0 < (first.winner == 0).sum() < N
    assert first.stages[0].spent_forwards.sum() > 0
    assert again.stages[0].spent_forwards.sum() == 0
    assert first.earlier == () and "sittings" not in first.start_up()
    assert 0 < again.earlier[0] <= again.stages[0].seconds  # Of both.
    assert f"in 2 sittings: {again.earlier[0]:.1f}, " in again.start_up()


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"threat": threats.Linf(0.2)}, "threat was 'linf eps=0.1', is 'linf eps=0.2'"),
        ({"threat": threats.Linf(0.1, upper=0.99)}, "threat set was"),
        # Of equal answers at all images, and of other ones at what attacks reach.
        ({"model": net((-9.0, 9.0, 9.0))}, "weights of the model was"),
        ({"plan": (Stage("bim", BIM, the_last_class_first),)}, "goals was"),
        ({"layout": Layout(tile=16)}, "tile was 8, is 16"),
        ({"retire": False}, "retire was True, is False"),
        ({"plan": (Stage("bim", BIM, each_wrong_class, 2),)}, "plan was .* is"),
    ],
    ids=["eps", "box", "weights", "goals", "tile", "retire", "restarts"],
)
@pytest.mark.parametrize("header", [True, False])
def test_another_evaluation_is_refused_before_anything_runs(
    tmp_path, other, named, header
):
    judged(journal=tmp_path)
    if not header:  # As a kill while it was being removed may leave it.
        (tmp_path / "journal.json").unlink()
        named = "belongs to another evaluation; choose another folder"
    seen = []
    with pytest.raises(ValueError, match=named):
        judged(**other, journal=tmp_path, on_progress=seen.append)
    assert seen == []


def test_other_surroundings_are_another_evaluation(tmp_path):
    """Of the same model and plan: how JAX multiplies, and on which devices it runs."""
    judged(journal=tmp_path)
    named = "another evaluation .library, versions, devices and settings was"
    with (
        jax.default_matmul_precision("bfloat16"),
        pytest.raises(ValueError, match=named),
    ):
        judged(journal=tmp_path)
    (here, *_), there = jax.devices(), SimpleNamespace(platform="t", device_kind="x")
    same = exports.surroundings((here, here))
    assert same == exports.surroundings() == exports.surroundings((here,))
    others = (there,), (here, there)
    known = {tuple(exports.surroundings(devices)) for devices in (*others, None)}
    assert len(known) == 3


def test_weights_that_a_function_holds_count_too(tmp_path):
    def closed(beyond):
        held = jnp.tile(jnp.asarray(beyond, jnp.float32)[:, None], (1, 64))
        return lambda x: hinged(WEIGHTS, held.max(axis=1), x)

    judged(closed((0.0, 0.0, 0.0)), journal=tmp_path)
    with pytest.raises(ValueError, match="another evaluation .(programs|weights) of"):
        judged(closed((-9.0, 9.0, 9.0)), journal=tmp_path)


def test_numbers_that_a_program_holds_are_found_wherever_they_are():
    """JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS takes them out of a program's text."""
    near, far = jnp.asarray(WEIGHTS), jnp.asarray(2 * WEIGHTS)
    inner = jax.jit(
        lambda x: jax.lax.scan(lambda c, _: (far @ x + c, None), x[:3], None, 2)
    )
    program = jax.jit(lambda x: inner(x)[0] + near @ x).trace(IMAGES[0]).jaxpr
    held = [np.asarray(one) for one in identity._held(program)]
    for wanted in (near, far):
        assert any(np.array_equal(wanted, one) for one in held)


def test_a_threat_on_parameters_has_a_journal(tmp_path):
    threat = threats.ColourShift(0.3)
    plan = (Stage("grid", attacks.through(attacks.worst_of(5))),)
    images = victims.inputs((2, 2, 3), 4, seed=1)
    model = victims.affine_victim((2, 2, 3), CLASSES)
    labels = victims.predicted(model, images)
    options = {"plan": plan, "audit": False, "journal": tmp_path}
    first, again = (
        robustness(model, images, labels, threat, **options) for _ in range(2)
    )
    np.testing.assert_array_equal(first.x_adv, again.x_adv)
    with pytest.raises(ValueError, match="another evaluation"):
        robustness(model, images, labels, threat.replace(eps=0.5), **options)


SQUARE = (Stage("square", attacks.square(20)),)


def halves(batch):
    return np.round(2 * batch) / 2


def plain(batch):
    return (batch - MIDDLE) @ WEIGHTS.T


def on_host(rounds=False, name=None):
    """The net on the host, its inputs rounded or not: the images are round already."""
    scores = (lambda batch: plain(halves(batch))) if rounds else plain
    return interop.from_host(scores, CLASSES, name=name)


def judged_on_host(model, **options):
    images = halves(IMAGES)
    labels = plain(images).argmax(1)
    options = {"plan": SQUARE, "layout": Layout(tile=8), "audit": False, **options}
    return robustness(model, images, labels, threats.Linf(0.2), **options)


def test_a_model_on_the_host_needs_a_name_for_a_journal(tmp_path):
    with pytest.raises(ValueError, match=r"say which it is by from_host\(..., name="):
        judged_on_host(on_host(), journal=tmp_path)
    assert judged_on_host(on_host(True)).robust_accuracy.value == 1
    assert list(tmp_path.iterdir()) == []
    first, again = (
        judged_on_host(on_host(name="plain"), journal=tmp_path) for _ in range(2)
    )
    np.testing.assert_array_equal(first.x_adv, again.x_adv)
    assert first.robust_accuracy.value < 1
    assert again.stages[0].spent_forwards.sum() == 0
    with pytest.raises(ValueError, match=r"was \['plain'\], is \['rounded'\]"):
        judged_on_host(on_host(True, name="rounded"), journal=tmp_path)
    # Of the same name, and the same answers at every image.
    with pytest.raises(ValueError, match="another evaluation .answers between"):
        judged_on_host(on_host(True, name="plain"), journal=tmp_path)


def test_a_classifier_of_scikit_learn_is_its_own_name(tmp_path):
    def judged_by(penalty):
        fitted = svm.SVC(kernel="linear", C=penalty).fit(IMAGES, LABELS)
        model = interop.from_sklearn(fitted)
        return judged(model, journal=tmp_path, plan=SQUARE)

    judged_by(1.0)
    assert judged_by(1.0).stages[0].spent_forwards.sum() == 0
    with pytest.raises(ValueError, match="another evaluation"):
        judged_by(9.0)


def test_an_estimator_that_cannot_be_pickled_needs_a_name(tmp_path):
    fitted = svm.SVC(kernel=lambda a, b: a @ b.T).fit(IMAGES, np.arange(N) % CLASSES)
    with pytest.raises(ValueError, match="name="):
        judged(interop.from_sklearn(fitted), journal=tmp_path, plan=SQUARE)
    named = interop.from_sklearn(fitted, name="linear")
    assert judged(named, journal=tmp_path, plan=SQUARE).stages


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_is_a_text(name):
    with pytest.raises(ValueError, match="name=.*; expected a text that is not empty"):
        on_host(name=name)


@pytest.mark.parametrize("folder", ["", 3])
def test_a_journal_without_a_name_is_refused(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: judged(journal=folder),
        lambda: compare(
            {"a": net()}, IMAGES, LABELS, threats.Linf(0.1), journal=folder
        ),
    ):
        with pytest.raises(
            ValueError, match="journal=(''|3); expected the name of a d"
        ):
            call()
    assert list(tmp_path.iterdir()) == []
