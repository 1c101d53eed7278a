"""What people get wrong at the front doors: one sentence each, before anything runs."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

import robust_jax as rj
from robust_jax import attacks, datasets, interop, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Attack, Untargeted
from robust_jax.evaluate import (
    Stage,
    compare,
    corrupted_accuracy,
    curve,
    distances,
    nearest,
    plans,
    robustness,
)
from robust_jax.evaluate.hard_label import hard_label
from tests import victims

N, SHAPE, CLASSES = 6, (4,), 3
NET = victims.affine_victim(SHAPE, CLASSES)
IMAGES = victims.inputs(SHAPE, N)
LABELS = victims.predicted(NET, IMAGES)
KEYS = lift.item_keys(0, np.arange(N))
GOAL = Untargeted(LABELS)
LINF, PGD = threats.Linf(0.1), attacks.pgd(3)


def never(*args):
    raise AssertionError("The attack was traced.")


NEVER = Attack(never, never, never, never, 3)
PLAN = (Stage("never", NEVER),)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(CLASSES)(x)


class Nnx(nnx.Module):
    def __init__(self):
        self.dense = nnx.Linear(SHAPE[0], CLASSES, rngs=nnx.Rngs(0))
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.dropout(self.dense(x))


def judged(model=NET, images=IMAGES, labels=LABELS, threat=LINF, **options):
    return robustness(model, images, labels, threat, **{"plan": PLAN} | options)


def attacked(**changes):
    usual = {"attack": NEVER, "model": NET, "images": IMAGES, "labels": LABELS}
    return rj.attack(**{**usual, "threat": LINF, **changes})


def apart(**changes):
    usual = {"threat": threats.L2(np.inf), "plan": Stage("never", NEVER)}
    return distances(NET, IMAGES, LABELS, **usual | changes)


def curved(radii=(0.1,), attack=NEVER, threat=LINF):
    return curve(NET, IMAGES, LABELS, threat, radii, attack)


def driven(keys=KEYS, goal=GOAL, threat=LINF, x=IMAGES, attack=NEVER):
    return drive.auto(attack)(keys, NET, threat, x, goal)


_THREAT = r"; expected one with its radius, such as threats\.Linf\(8 / 255\)$"
_PLAN = "; expected a plan's name or at least one Stage in a tuple"
SLIPS = {
    "float for a threat": (lambda: judged(threat=0.1), "^threat=0.1" + _THREAT),
    "name for a threat": (lambda: judged(threat="linf"), "^threat='linf'" + _THREAT),
    "class for a threat": (
        lambda: judged(threat=threats.Linf),
        "^threat=<.*" + _THREAT,
    ),
    "threat of an attack": (lambda: attacked(threat=0.1), "^threat=0.1" + _THREAT),
    "threat of distances": (lambda: apart(threat="l2"), "^threat='l2'" + _THREAT),
    "threat of a curve": (lambda: curved(threat=0.1), "^threat=0.1" + _THREAT),
    "threat of a driver": (lambda: driven(threat=0.1), "^threat=0.1" + _THREAT),
    "radius in bytes": (lambda: judged(threat=threats.Linf(8.0)), "^eps=8 exceeds"),
    "attack for a plan": (lambda: judged(plan=PGD), r"^plan=pgd\(.*" + _PLAN),
    "stage for a plan": (lambda: judged(plan=PLAN[0]), r"^plan=Stage\(.*" + _PLAN),
    "names for a plan": (lambda: judged(plan=("pgd",)), r"^plan=\('pgd',\)" + _PLAN),
    "no plan": (lambda: judged(plan=()), r"^plan=\(\)" + _PLAN),
    "capital plan": (
        lambda: judged(plan="Standard"),
        "^unknown plan 'Standard'; did you mean 'standard'",
    ),
    "plan rand": (lambda: judged(plan="rand"), "^plan='rand' is for random nets"),
    "unknown option": (
        lambda: judged(jurnal="out"),
        "^unknown option 'jurnal'; did you mean 'journal'",
    ),
    "misspelt argument": (lambda: judged(plam="x"), "did you mean 'plan'"),
    "points without audit": (
        lambda: judged(points=9, audit=False),
        "^points=9 with audit=False; expected audit=True",
    ),
    "layout": (lambda: judged(layout=64), r"^layout=64; expected an evaluate\.Layout"),
    "no minutes": (lambda: judged(limit_minutes=0), "^limit_minutes=0; expected a fin"),
    "seed": (lambda: judged(seed=-1), "^seed=-1; expected an integer from 0"),
    "takes": (lambda: judged(takes="batches"), "^takes='batches'; expected one of"),
    "bytes": (
        lambda: judged(images=np.zeros((N, *SHAPE), np.uint8)),
        r"^images.dtype=uint8; expected floats; convert with images\.astype",
    ),
    "one image": (
        lambda: judged(images=IMAGES[0]),
        r"^images.shape=\(4,\); expected a",
    ),
    "of 255": (
        lambda: judged(images=255 * IMAGES),
        r"^images\[\d\]\[\d\]=.* is outside",
    ),
    "one-hot labels": (
        lambda: judged(labels=np.eye(CLASSES)[LABELS]),
        r"^labels.shape=\(6, 3\); expected \(6,\).* take labels\.argmax\(axis=1\)$",
    ),
    "labels from one": (
        lambda: judged(labels=LABELS + CLASSES),
        r"^labels\[0\]=\d for ",
    ),
    "labels as floats": (
        lambda: judged(labels=LABELS + 0.0),
        "^labels.dtype=float64; ",
    ),
    "bare Linen": (
        lambda: judged(Linen()),
        r"^model=Linen\(\.\.\.\), a module of Flax Linen without its weights; pass "
        r"interop\.from_linen",
    ),
    "class of nets": (lambda: judged(Linen), "^model=Linen, a class; expected a funct"),
    "net and weights": (
        lambda: judged((Linen(), {})),
        "^model of type tuple; expected",
    ),
    "name of a net": (lambda: judged("mlp"), "^model of type str; expected a function"),
    "one logit": (
        lambda: judged(lambda x: NET(x)[:1]),
        r"outputs of shape \(1,\).* return \[-z/2, z/2\]$",
    ),
    "tuple of outputs": (
        lambda: judged(lambda x: (NET(x), x)),
        r"^the model gave a tuple .* model\(x\)\[0\]$",
    ),
    "softmax": (
        lambda: judged(lambda x: jax.nn.softmax(NET(x))),
        "^the model returns probabilities .* return the logits before the softmax",
    ),
    "NumPy": (lambda: judged(lambda x: np.sort(x)), r"wrap it by interop\.from_host"),
    "other images": (
        lambda: judged(lambda x: x.reshape(7)),
        r"fails on a float32 input of shape \(4,\): TypeError",
    ),
    "random net": (
        lambda: judged(lambda x, key: NET(x)),
        "it takes a key, too; say takes='example and key'$",
    ),
    "stage of a factory": (
        lambda: Stage("pgd", attacks.pgd),
        r"^attack=<.*; expected an attack, such as attacks\.pgd\(\)$",
    ),
    "stage of a name": (
        lambda: Stage("pgd", "pgd"),
        "^attack='pgd'; expected an attack",
    ),
    "attack misspelt": (
        lambda: attacked(attack="PDG"),
        "^unknown attack 'PDG'; did you mean",
    ),
    "attack in the field's letters": (
        lambda: attacked(attack="APGD-CE"),
        "^unknown attack 'APGD-CE'; did you mean 'apgd_ce'",
    ),
    "targets": (
        lambda: attacked(targets=LABELS + CLASSES),
        r"^targets\[0\]=\d for a model with 3 outputs; expected 0 to 2",
    ),
    "factory of distances": (
        lambda: apart(plan=attacks.ddn),
        "^plan=<.*; expected a Stage, a minimum-norm attack, the name of one, or None$",
    ),
    "name of distances": (
        lambda: apart(plan="dnn"),
        "^unknown attack 'dnn'; did you mea",
    ),
    "radius of a curve": (
        lambda: curved(0.1),
        "^radii=0.1; expected a list of at least",
    ),
    "attack of a curve": (lambda: curved(attack="pdg"), "^unknown attack 'pdg'"),
    "norm of a plan": (lambda: nearest("linff"), "^unknown norm 'linff'; did you mean"),
    "threat for a norm": (
        lambda: plans.by_name("swift", LINF),
        r"^unknown norm Linf\(.*known: l0, l1, l2, linf, patch",
    ),
    "net to compare": (
        lambda: compare(NET, IMAGES, LABELS, LINF),
        r"^models=.*; expected models by name, \{name: model\}$",
    ),
    "no net to compare": (
        lambda: compare({"a": None}, IMAGES, LABELS, LINF),
        r"^models\['a'\] of type NoneType; expected a function",
    ),
    "queries": (
        lambda: hard_label("many"),
        "^queries='many'; expected an integer >= 1",
    ),
    "one corruption": (
        lambda: corrupted_accuracy(NET, IMAGES, LABELS, "fog"),
        "^names='fog'; expected a tuple of one or more$",
    ),
    "corruption": (
        lambda: corrupted_accuracy(NET, IMAGES, LABELS, ["foog"]),
        "^unknown corruption 'foog'; did you mean 'fog'",
    ),
    "severity": (
        lambda: corrupted_accuracy(NET, IMAGES, LABELS, ["fog"], [6]),
        "^severity=6; expected an integer from 1 to 5$",
    ),
    "labels for a goal": (
        lambda: driven(goal=LABELS),
        r"^goal=array\(.*; expected one of core\.types, such as Untargeted\(labels\)$",
    ),
    "one key for a batch": (
        lambda: driven(keys=jax.random.key(0)),
        r"^keys.shape=\(\); expected \(6,\), one key per image, such as lift\.item_",
    ),
    "seed for keys": (lambda: driven(keys=0), "^keys=0; expected one key per image"),
    "call of an attack": (
        lambda: PGD(NET, IMAGES, LABELS),
        r"^pgd\(\.\.\.\) is no function; expected rj\.attack\(attack, model, images",
    ),
    "name for a driver": (
        lambda: driven(attack="pgd"),
        r"^attack='pgd'; expected an attack, such as attacks\.pgd\(\)$",
    ),
    "norm": (
        lambda: threats.by_name("L-inf"),
        "^unknown norm 'L-inf'; did you mean 'li",
    ),
    "data set": (
        lambda: datasets.load("CIFAR-10", "test"),
        "^unknown dataset 'CIFAR-10'; did you mean 'cifar10'",
    ),
    "Linen without variables": (
        lambda: interop.from_linen(Linen(), None),
        "^variables=None; expected its collections",
    ),
}


def test_there_are_many():
    assert len(SLIPS) >= 40


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_ends_in_one_sentence(slip):
    call, sentence = SLIPS[slip]
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    said = str(error.value)
    assert re.search(sentence, said), said
    assert "\n" not in said and len(said) < 1000
    assert not re.search("Tracer|vmap|jit|Traceback|positional argument", said)
    last = error.traceback[-1].path
    assert "robust_jax" in last.parts and "site-packages" not in last.parts


def short(model, **options):
    plan = (Stage("fgsm", attacks.fgsm()),)
    return judged(model, plan=plan, audit=False, **options)


def same(one, other):
    return np.array_equal(one.winner, other.winner) and one.claims.passed


@functools.cache
def linen():
    return Linen().init(jax.random.key(0), IMAGES[0])


def test_a_bound_module_of_linen_is_taken():
    bound = short(Linen().bind(linen()))
    assert same(bound, short(interop.from_linen(Linen(), linen())))


def test_a_module_of_nnx_is_taken_in_inference_mode_and_stays_as_it_is():
    module = Nnx()
    assert same(short(module), short(interop.from_nnx(module)))
    assert not module.dropout.deterministic
    found = rj.attack("fgsm", module, IMAGES, LABELS, LINF)
    other = rj.attack("fgsm", interop.from_nnx(module), IMAGES, LABELS, LINF)
    assert np.array_equal(found.x_adv, other.x_adv)


def test_a_module_of_equinox_is_taken_in_inference_mode():
    eqx = pytest.importorskip("equinox")

    class Dropped(eqx.Module):
        dropout: eqx.nn.Dropout
        weights: jax.Array

        def __call__(self, x):
            return self.weights @ self.dropout(x)

    module = Dropped(eqx.nn.Dropout(0.5), NET.args[0])
    assert same(short(module), short(NET))
    assert not module.dropout.inference


def of_batch(weights, x):
    assert x.ndim == 2
    return x @ weights.T


def test_a_net_of_batches_is_taken_and_said_so(caplog):
    report = short(Partial(of_batch, NET.args[0]))
    assert same(report, short(NET)) and report.evaluation.model.batch_fn is not None
    with pytest.raises(ValueError, match="it needs a batch axis; say takes='batch'"):
        short(Partial(of_batch, NET.args[0]), takes="example")


def test_a_net_of_one_example_or_more_is_asked_for_one():
    assert short(NET).evaluation.model.batch_fn is None


def test_an_attack_or_its_name_is_a_plan_of_distances():
    stage = apart(plan=Stage("x", attacks.ddn()))
    for plan in (attacks.ddn(), "ddn"):
        found = apart(plan=plan)
        np.testing.assert_array_equal(found.distance, stage.distance)
        assert "ddn" in found.name


def test_what_holds_arrays_is_shown_in_one_line():
    digits = datasets.load("digits", "test")
    made = curve(NET, IMAGES, LABELS, LINF, [0.0], attacks.fgsm())
    apart_by = distances(NET, IMAGES, LABELS, threats.L2(np.inf), "deepfool")
    found = rj.attack("fgsm", NET, IMAGES, LABELS, LINF)
    report = short(NET)
    for one in (digits, made, apart_by, found, report.claims, report.stages[0], report):
        assert "\n" not in repr(one) and "array(" not in repr(one)
        assert len(repr(one)) < 600, repr(one)
    assert "images=uint8[500, 8, 8, 1]" in str(digits)
    assert repr(report) == f"Report({report.citation()})"
    assert "x_adv=float32[6, 4]" in str(found)
    assert jnp.shape(found.x_adv) == (N, *SHAPE)
