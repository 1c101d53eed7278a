"""An imported net that is another one than the original is refused, unless meant."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import robust_jax as rj
from robust_jax import attacks, evaluate, interop, threats
from robust_jax.core import layout
from robust_jax.core.origin import Origin, Parity
from robust_jax.evaluate import Stage
from tests import victims

IMAGES = victims.inputs((4,), 5)
WEIGHTS = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
NET = Partial(victims.affine, WEIGHTS, -WEIGHTS.sum(1) / 2)
LABELS = victims.predicted(NET, IMAGES)
LINF, FGSM = threats.Linf(0.1), (Stage("fgsm", attacks.fgsm()),)
APART = Parity(64, 3e-3, 60, 2e-2, differs="layer1.conv2")


def imported(parity, source="torch a.Net"):
    return layout.declared(NET, Origin(source, parity=parity))


def short(model, **how):
    how = {"plan": FGSM, "audit": False, **how}
    return evaluate.robustness(model, IMAGES, LABELS, LINF, **how)


def entries(model):
    given = model, IMAGES, LABELS
    return {
        "robustness": lambda: short(model),
        "attack": lambda: rj.attack("fgsm", *given, LINF),
        "curve": lambda: evaluate.curve(*given, LINF, [0.1], "fgsm"),
        "distances": lambda: evaluate.distances(*given, LINF, "deepfool"),
        "corrupted": lambda: evaluate.corrupted_accuracy(*given, ["fog"], [1]),
        "compare": lambda: evaluate.compare(
            {"a": NET, "b": model}, IMAGES, LABELS, LINF, plan=FGSM
        ),
    }


@pytest.mark.parametrize("door", entries(NET))
@pytest.mark.parametrize("wrap", [lambda m: m, interop.per_example])
def test_a_net_that_differs_is_refused_at(door, wrap):
    said = (
        r"it was imported from, torch a\.Net: logits differ by 3\.0e-03 of the "
        r"largest, gradients 2\.0e-02, the same class on 60 of 64 images; the first "
        r"layer that differs is layer1\.conv2; expected logits within 0\.0001; mend"
    )
    with pytest.raises(ValueError, match=said):
        entries(wrap(imported(APART)))[door]()


def test_the_net_is_named():
    with pytest.raises(ValueError, match=r"models\['b'\] is not the net"):
        entries(imported(APART))["compare"]()


def test_what_is_close_is_taken_and_said():
    report = short(imported(Parity(64, 9e-5, 64)), name="theirs")
    line = "theirs: torch a.Net: logits differ by 9.0e-05 of the largest, the same"
    assert line in str(report)
    record = json.loads(json.dumps(report.to_json()["origin"]))
    assert record["source"] == "torch a.Net" and record["parity"]["logits"] == 9e-5
    assert short(NET).to_json()["origin"] is None


def test_a_difference_that_is_meant_is_printed():
    model = interop.despite_parity(imported(APART))
    report = short(model)
    assert "layer1.conv2; accepted" in str(report)
    np.testing.assert_array_equal(report.winner, short(NET).winner)
    assert rj.attack("fgsm", model, IMAGES, LABELS, LINF).x_adv.shape == IMAGES.shape
    assert interop.despite_parity(NET) is NET


def test_a_journal_knows_the_net_and_not_what_is_said_of_it(tmp_path):
    first = short(imported(Parity(64, 1e-6, 64)), journal=tmp_path)
    again = short(imported(Parity(8, 2e-6, 8), "onnx a.onnx"), journal=tmp_path)
    assert first.stages[0].spent_forwards.sum() > 0
    assert again.stages[0].spent_forwards.sum() == 0
    np.testing.assert_array_equal(first.x_adv, again.x_adv)
