"""What people bring: other units, normalised images, probabilities, nets of all kinds.

Each case has its right value, or its sentence before anything is attacked.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, interop, threats
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.evaluate import (
    Layout,
    Stage,
    compare,
    corrupted_accuracy,
    curve,
    distances,
    robustness,
)
from robust_jax.losses import objectives
from tests import victims

N, SIZE, CLASSES, TILE, EPS = 24, 6, 3, 8, 0.08
NET = victims.affine_victim((SIZE,), CLASSES)
IMAGES = victims.inputs((SIZE,), N, seed=2)
LABELS = victims.predicted(NET, IMAGES)
BIM = (Stage("bim", attacks.bim(4, 0.5, objectives.margin)),)


def scaled(weights, shift, scale, x):
    """The affine net on (x - shift) / scale, so that images may be in other units."""
    return weights @ ((x - shift) / scale)


def on(shift, scale):
    shift, scale = (jnp.asarray(a, jnp.float32) for a in (shift, scale))
    return Partial(scaled, NET.args[0], shift, scale)


def judged(model=NET, images=IMAGES, labels=LABELS, threat=None, **options):
    threat = threats.Linf(EPS) if threat is None else threat
    options = {"plan": BIM, "layout": Layout(tile=TILE), "audit": False, **options}
    return robustness(model, images, labels, threat, **options)


@functools.cache
def plain():
    return judged(on(0, 1))


def refuses(sentence, call, *arguments, **options):
    """One sentence of this library's, before anything is attacked."""
    seen = []
    with pytest.raises((ValueError, TypeError), match=sentence) as error:
        call(*arguments, **options)
    assert "\n" not in str(error.value) and seen == []
    last = error.traceback[-1].path
    assert "robust_jax" in last.parts and "site-packages" not in last.parts


def test_pixels_of_bytes_with_the_radius_in_their_units():
    threat = threats.Linf(255 * EPS, 0.0, 255.0)
    report = judged(on(0, 255), IMAGES * 255, threat=threat)
    np.testing.assert_array_equal(report.winner, plain().winner)
    assert 0 < (report.winner == 0).sum() < N and report.claims.passed


def test_a_radius_in_bytes_with_pixels_in_the_unit_box_is_no_advice_to_divide():
    with pytest.raises(ValueError, match="eps=25.5 exceeds the width 1") as error:
        judged(threat=threats.Linf(25.5))
    assert "255" not in str(error.value)


@pytest.mark.parametrize("keepdims", [False, True])
def test_normalised_images_with_a_box_from_numbers_in_double(keepdims):
    """The box of each pixel, and one that the data themselves say."""
    mean, deviation = np.linspace(0.4, 0.5, SIZE), np.linspace(0.22, 0.26, SIZE)
    ends = np.concatenate([np.zeros((1, SIZE)), np.ones((1, SIZE)), IMAGES])
    normal = (ends.astype(np.float32) - np.float32(mean)) / np.float32(deviation)
    model = on(-mean / deviation, 1 / deviation)
    labels = victims.predicted(model, normal)
    lower, upper = (0 - mean) / deviation, (1 - mean) / deviation
    if keepdims:
        lower, upper = normal.min(0, keepdims=True), normal.max(0, keepdims=True)
    report = judged(model, normal, labels, threats.Linf(EPS, lower, upper))
    assert report.claims.passed and report.clean.all()
    assert (report.x_adv >= np.float32(lower)).all()
    assert (report.x_adv <= np.float32(upper)).all()
    outside = (model, normal * 1.01, labels, threats.Linf(EPS, lower, upper))
    refuses(r"images\[\d+\]\[\d\]=.* is outside the threat's box", judged, *outside)


@pytest.mark.parametrize(
    ("norm", "radius"), [("linf", 20.0), ("l2", 150.0), ("l1", 1000.0)]
)
@pytest.mark.parametrize("size", [64, pytest.param(3072, marks=pytest.mark.full)])
def test_finds_on_bytes_are_inside_by_what_rounding_can_do(norm, radius, size):
    """Of all finds none is called outside, by steps and by the nearest."""
    model = _on_bytes(size)
    images = np.round(victims.inputs((size,), 32, seed=3, high=255.0))
    labels = victims.predicted(model, images)
    kind = threats.by_name(norm)
    stage = Stage("bim", attacks.bim(6, 0.5, objectives.margin))
    threat = kind(radius, 0.0, 255.0)
    report = judged(model, images, labels, threat, plan=(stage,))
    assert report.claims.passed, str(report.claims)
    nearest = Stage("fab", attacks.fab(5))
    found = distances(model, images, labels, threat, nearest, tile=TILE)
    assert found.claims.passed, str(found.claims)
    broken = report.winner == 0
    assert broken.any() and np.isfinite(found.distance[broken]).mean() > 0.9


@functools.cache
def _on_bytes(size):
    weights = victims.affine_victim((size,), CLASSES).args[0]
    return Partial(scaled, weights, jnp.float32(127), jnp.float32(255 * size**0.5))


def share_of(dtype, weights, x):
    return jax.nn.softmax(jnp.asarray(4 * weights @ x, dtype))


def yes_of_each(dtype, weights, x):
    return jax.nn.sigmoid(jnp.asarray(4 * weights @ (x - 0.5), dtype))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("function", [share_of, yes_of_each])
def test_probabilities_of_any_precision_are_no_logits(function, dtype):
    refuses("the model returns .*probabilit", judged,
            Partial(functools.partial(function, dtype), NET.args[0]))  # fmt: skip


def test_logits_of_a_temperature_are_no_probabilities():
    for scale in (1e-2, 1.0, 1e2):
        report = judged(
            on(0.5, scale), labels=victims.predicted(on(0.5, scale), IMAGES)
        )
        assert report.clean.all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_distances_of_two_classes(norm):
    """An affine net's boundary is known; the default plan fits two classes."""
    weights = NET.args[0][:2]
    net = Partial(scaled, weights, jnp.float32(0.5), jnp.float32(1))
    labels = victims.predicted(net, IMAGES)
    dual = {"linf": 1, "l2": 2}[norm]
    gap = np.abs((IMAGES - 0.5) @ np.asarray(weights[0] - weights[1]))
    exact = gap / np.linalg.norm(weights[0] - weights[1], dual)
    inner = IMAGES * 0.2 + 0.4  # So near the middle that the box is far.
    inner_labels = victims.predicted(net, inner)
    found = distances(
        net, inner, inner_labels, threats.by_name(norm)(np.inf), tile=TILE
    )
    np.testing.assert_allclose(found.distance, 0.2 * exact, rtol=0.02, atol=1e-4)
    assert labels.min() == 0 and found.claims.passed


def batched(weights, images):
    return jnp.einsum("bd,kd->bk", images, weights)


def keyed(x, key):
    return NET(x) + jax.random.normal(key, (CLASSES,))


class Imaginary(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(CLASSES)(x)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (None, "model of type NoneType; expected a function of images"),
        (
            lambda x: np.asarray(x) @ np.ones((SIZE, 3)),
            r"wrap it by interop\.from_host",
        ),
        (lambda x: (NET(x), x), "the model gave a tuple .* model.x..0."),
        (lambda x: NET(x) + 1j, "gave complex64 outputs; expected real logits"),
        (lambda x: NET(x)[0], r"outputs of shape \(\); .* return \[-z/2, z/2\]"),
        (lambda x: NET(x)[:1], r"shape \(1,\) per example; .* return \[-z/2, z/2\]"),
        (keyed, "it takes a key, too; say takes='example and key'"),
        (lambda x: x.reshape(7), "fails on a float32 input of shape .6,.: TypeError"),
        (Imaginary(), "without its weights; pass interop.from_linen"),
    ],
)
def test_what_is_no_model_is_told_what_to_do(model, sentence):
    """By everything that takes one."""
    refuses(sentence, judged, model)
    examples, threat, attack = (IMAGES, LABELS), threats.Linf(EPS), BIM[0].attack
    refuses(sentence, curve, model, *examples, threat, [0.1], attack)
    refuses(sentence, distances, model, *examples, threats.L2(1.0))
    refuses(sentence, corrupted_accuracy, model, *examples, ["fog"])


def test_all_models_are_looked_at_before_the_first_is_judged():
    asked = []
    nets = {"good": NET, "none": None}
    options = {"plan": BIM, "audit": False, "on_progress": asked.append}
    with pytest.raises(TypeError, match=r"models\['none'\] of type NoneType"):
        compare(nets, IMAGES, LABELS, threats.Linf(EPS), **options)
    assert asked == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"images": None}, "images=None; expected floats"),
        ({"images": "digits"}, "images='digits'; expected floats"),
        ({"images": []}, "expected a non-empty batch"),
        ({"images": np.ma.masked_less(IMAGES, 0.5)}, "images is a masked array"),
        ({"labels": np.ma.masked_less(LABELS, 1)}, "labels is a masked array"),
        ({"seed": 2**32}, "seed=4294967296; expected an integer from 0"),
        ({"seed": -1}, "seed=-1; expected an integer from 0"),
        ({"ids": np.linspace(0, 0.9, N)}, "ids.dtype=float64; expected integers"),
        ({"certified": np.zeros((N, 1), bool)}, "certified of bool and shape"),
        ({"certified": np.zeros(N)}, "certified of float64 and shape"),
        ({"subset": [N]}, "subset=.*; expected indexes of 24 images"),
        ({"threat": threats.L0(0.5)}, "eps=0.5 with l0; expected a number of"),
        ({"threat": threats.Patch(99)}, "eps=99 exceeds the sides"),
        ({"threat": threats.Linf}, "expected one with its radius"),
        ({"plan": BIM[0]}, "expected a plan.s name or at least one Stage"),
        ({"surrogate": 3}, "surrogate of type int; expected a function"),
        ({"layout": 64}, "layout=64; expected an evaluate.Layout"),
    ],
)
def test_arguments_are_checked_before_the_net_is_traced(options, sentence):
    def never(x):
        raise AssertionError("The net was asked.")

    refuses(sentence, judged, never, **options)


def to(goal):
    return Stage("to", BIM[0].attack, lambda labels, logits: goal(labels))


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (lambda y: (Reach(y),), r"the target \d for example 0, whose label is \d"),
        (lambda y: (Towards(y, y),), r"the target \d for example 0, whose label"),
        (lambda y: (Towards(y, y + 3),), "expected another class below 3"),
        (lambda y: (Reach(y[:2]),), r"of int32 and shape \(2,\); expected integers"),
        (lambda y: (Reach(y / 2),), "targets of float64 and shape"),
        (lambda y: (Untargeted((y + 1) % 3),), "other labels than the examples"),
        (lambda y: (), "goals of stage 'to' are none"),
        (lambda y: (y,), "expected Untargeted, Towards or Reach"),
    ],
)
def test_a_goal_whose_success_is_no_error_is_refused(goal, sentence):
    """Reach(the true label) would have broken every example without breaking it."""
    refuses(sentence, judged, plan=(to(goal),))


def test_a_model_on_the_host_that_fails_says_its_own_sentence():
    model = interop.from_host(lambda b: np.zeros((len(b), 5)), 3)
    refuses(r"the model failed on the clean images.*expected \(8, 3\)", judged, model)
