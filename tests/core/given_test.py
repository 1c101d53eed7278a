"""What the drivers of a batch refuse, and what they let pass."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import compilation, drive, given, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from tests import victims

N, SHAPE, CLASSES = 3, (4,), 10
MODEL = victims.affine_victim(SHAPE, CLASSES)
IMAGES = victims.inputs(SHAPE, N)
LABELS = np.arange(N, dtype=np.int32)
KEYS = lift.item_keys(0, np.arange(N))
LINF = threats.Linf(0.1)
DRIVERS = {
    "hosted": drive.hosted(attacks.fgsm()),
    "traced": drive.traced(attacks.fgsm()),
    "auto": drive.auto(attacks.fgsm()),
    "shared": lambda keys, *rest: drive.shared(attacks.universal(2))(keys[0], *rest),
}


def of_batch(images):
    assert images.ndim == 2
    return images


def _with(**others):
    usual = {
        "keys": KEYS,
        "logits_fn": MODEL,
        "threat": LINF,
        "x": IMAGES,
        "goal": Untargeted(LABELS),
    }
    return (usual | others).values()


REFUSED = {
    "from one": ({"goal": Untargeted(LABELS + 8)}, r"goal.label\[2\]=10 .* 10 outputs"),
    "negative": ({"goal": Untargeted(LABELS - 1)}, r"goal.label\[0\]=-1 .* 0 to 9"),
    "target": ({"goal": Towards(LABELS, LABELS + 8)}, r"goal.target\[2\]=10"),
    "reach": ({"goal": Reach(LABELS - 1)}, r"goal.target\[0\]=-1"),
    "one hot": (
        {"goal": Untargeted(np.eye(N, dtype=int))},
        r"goal.label.shape=\(3, 3\)",
    ),
    "floats": ({"goal": Untargeted(LABELS + 0.5)}, r"goal.label.dtype=float64"),
    "of 255": ({"x": 255 * IMAGES}, r"x\[\d\]\[\d\]=.* box \[0, 1\]"),
    "darker": ({"x": jnp.asarray(IMAGES) - 1}, r"x\[\d\]\[\d\]=.* box \[0, 1\]"),
    "per pixel": (
        {"threat": LINF.replace(lower=np.full(SHAPE, 0.9, np.float32))},
        r"x\[\d\]\[\d\]=.* box \[0.899999976, 1\]",
    ),
    "nan": ({"x": np.where(IMAGES > 0.9, np.nan, IMAGES)}, r"x\[\d\] holds NaN"),
    "one logit": ({"logits_fn": lambda x: x[:1]}, r"\(1,\) per example; .* K >= 2"),
    "no logits": ({"logits_fn": jnp.sum}, r"shape \(\); expected \[K\]"),
    "no model": ({"logits_fn": None}, "logits_fn of type NoneType; expected a funct"),
    "Linen": ({"logits_fn": nn.Dense(3)}, r"Dense\(...\), a module of Flax Linen"),
    "NumPy": ({"logits_fn": lambda x: np.sort(x)}, r"calls NumPy .*from_host\("),
    "batches": ({"logits_fn": of_batch}, r"fails on a float32 .*per_example\(model"),
    "random": ({"logits_fn": lambda x, key: x}, r"takes a key, too; bind one, as in"),
    "raises": ({"logits_fn": {}.__getitem__}, r"shape \(4,\): TypeError: unhash"),
    "several": ({"logits_fn": lambda x: (x, x)}, r"gave a tuple in .* model\(x\)\[0\]"),
    "nothing": ({"logits_fn": lambda x: None}, "gave a NoneType in place of one array"),
    "complex": ({"logits_fn": lambda x: x + 1j}, "gave complex64 outputs; expected r"),
    "signs": ({"logits_fn": lambda x: x > 0}, "gave bool outputs; expected real log"),
    "no threat": ({"threat": None}, "threat=None; expected one with its radius"),
    "a radius": ({"threat": 0.1}, "threat=0.1; expected one with its radius"),
    "class": ({"threat": threats.Linf}, "threat=<class .* expected one with its rad"),
    "no radius": ({"threat": threats.Linf(None)}, "eps=None; expected a radius"),
    "word": ({"threat": threats.Linf("abc")}, "eps='abc'; expected a radius"),
    "no number": ({"threat": threats.Linf(np.nan)}, "eps=nan; expected a .* radius"),
    "inward": ({"threat": threats.L2(-0.1)}, "eps=-0.1; expected a finite radius"),
    "list": ({"threat": threats.Linf([])}, r"eps=\[\]; .* pass np.asarray\(eps\)"),
    "two radii": ({"threat": threats.L2(np.ones(2))}, r"eps.shape=\(2,\); .* \(3,\)"),
    "no box": (
        {"threat": threats.L2(0.1, None)},
        "lower=None of the .*|lower=None; exp",
    ),
    "upside down": ({"threat": threats.L2(0.1, 1, 0)}, "expected lower <= upper"),
    "another box": ({"threat": threats.L2(0.1, np.zeros(3))}, r"lower.shape=\(3,\)"),
    "face as list": ({"threat": threats.L2(0.1, [0.0] * 4)}, r"lower=\[.* np.asarray"),
    "half a box": (
        {"x": (IMAGES, IMAGES, IMAGES), "threat": threats.L2(0.1, (0.0, 0.0))},
        "lower of the threat's box has 2 parts and x has 3; expected as many",
    ),
    "labels": ({"goal": LABELS}, r"goal=array\(\[0, 1, 2\].* Untargeted\(labels\)"),
    "no goal": ({"goal": None}, "goal=None; expected one of core.types, such as"),
    "label list": ({"goal": Untargeted([0, 1, 2])}, r"goal.label=\[0, .* np.asarray"),
    "no label": ({"goal": Reach(None)}, "goal.target=None; expected 3 integers"),
    "no images": ({"x": None}, "x=None; expected an array of floats"),
    "lists": ({"x": [[0.1] * 4] * N}, r"x=\[\[0.1, .*; expected an array of floats"),
    "empty": ({"x": IMAGES[:0]}, r"x of shape \(0, 4\); expected a non-empty batch"),
    "bytes": ({"x": np.zeros((N, 4), np.uint8)}, r"x.dtype=uint8; expected floats"),
    "masked": ({"x": np.ma.masked_less(IMAGES, 0.5)}, "x is a masked array"),
    "no keys": ({"keys": [None] * N}, "keys?=.*None.*; expected one key"),
    "numbers": ({"keys": np.arange(N)}, "keys?.*; expected .*one key"),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(driver, name):
    others, said = REFUSED[name]
    if driver == "shared" and isinstance(others.get("x"), list | tuple):
        said = "x=.*; expected an array of floats"
    with pytest.raises((ValueError, TypeError), match=said) as error:
        DRIVERS[driver](*_with(**others))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_refused_is_not_traced(driver):
    def never(x):
        raise AssertionError("traced")

    with pytest.raises(ValueError, match="eps=nan"):
        DRIVERS[driver](*_with(threat=threats.Linf(np.nan), logits_fn=never))


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            IMAGES[:2],
            r"start.shape=\(2, 4\); expected an array of floats \(3, 4\), as x",
        ),
        (0.5, "start=0.5; expected an array of floats"),
        (np.zeros((N, *SHAPE), int), "start.dtype=int64; expected floats"),
    ],
)
def test_a_start_is_as_the_images_are(start, said):
    with pytest.raises(ValueError, match=said):
        drive.hosted(attacks.pgd(2))(*_with(), start)
    with pytest.raises(ValueError, match="start=.*; expected None, as the attack"):
        drive.hosted(attacks.square(2))(*_with(), start)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: drive.hosted(None), "attack=None; expected an attack, such as"),
        (lambda: drive.traced(attacks.pgd), "attack=<.*; expected an attack, such as"),
        (
            lambda: drive.auto(attacks.pgd(), to_the_end=2),
            "to_the_end=2; expected True",
        ),
        (lambda: drive.shared(attacks.pgd()), "expected a shared attack, such as"),
        (lambda: drive.shared(attacks.universal(), 0), "batch=0; expected an integer"),
    ],
)
def test_what_is_no_attack_has_no_driver(make, said):
    with pytest.raises((ValueError, TypeError), match=said):
        make()


def test_one_key_per_image():
    with pytest.raises(ValueError, match=r"keys.shape=\(2,\); expected \(3,\)"):
        drive.auto(attacks.fgsm())(*_with(keys=KEYS[:2]))


def test_what_lies_in_a_box_of_its_own_passes():
    grey = threats.Linf(25.0, 0.0, 255.0)
    boxes = [
        _with(x=255 * IMAGES, threat=grey),
        _with(threat=LINF.replace(lower=IMAGES - 1, upper=IMAGES)),  # Per example.
        _with(x=IMAGES * np.float32(1 + 1e-7)),  # What rounding put beyond.
        _with(x=IMAGES.astype(jnp.bfloat16)),
        _with(x=IMAGES - 5, threat=LINF.replace(lower=-np.inf, upper=np.inf)),
    ]
    for one in boxes:
        assert np.isfinite(DRIVERS["auto"](*one).margin).all()


def test_inside_a_trace_nothing_is_checked():
    def in_a_trace(x, goal):
        given.check(*_with(x=x, goal=goal))
        return x

    jax.eval_shape(in_a_trace, 255 * IMAGES, Untargeted(LABELS + 8))


def test_what_is_looked_at_makes_no_program_after_the_first_batch():
    run = drive.hosted(attacks.fgsm())
    run(*_with())
    with compilation.recorded() as made:
        run(*_with(x=1 - IMAGES, goal=Untargeted(LABELS + 1)))
    assert made.so_far.lowered == 0
