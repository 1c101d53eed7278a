"""What the drivers of a batch refuse, and what they let pass."""

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
        {"threat": LINF._replace(lower=np.full(SHAPE, 0.9, np.float32))},
        r"x\[\d\]\[\d\]=.* box \[0.899999976, 1\]",
    ),
    "nan": ({"x": np.where(IMAGES > 0.9, np.nan, IMAGES)}, r"x\[\d\] holds NaN"),
    "one logit": ({"logits_fn": lambda x: x[:1]}, r"shape \(1,\); expected \[K\]"),
    "no logits": ({"logits_fn": jnp.sum}, r"shape \(\); expected \[K\]"),
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(driver, name):
    others, said = REFUSED[name]
    with pytest.raises(ValueError, match=said) as error:
        DRIVERS[driver](*_with(**others))
    assert "\n" not in str(error.value)


def test_one_key_per_image():
    with pytest.raises(ValueError, match=r"keys.shape=\(2,\); expected \(3,\)"):
        drive.auto(attacks.fgsm())(*_with(keys=KEYS[:2]))


def test_what_lies_in_a_box_of_its_own_passes():
    grey = threats.Linf(25.0, 0.0, 255.0)
    boxes = [
        _with(x=255 * IMAGES, threat=grey),
        _with(threat=LINF._replace(lower=IMAGES - 1, upper=IMAGES)),  # Per example.
        _with(x=IMAGES * np.float32(1 + 1e-7)),  # What rounding put beyond.
        _with(x=IMAGES.astype(jnp.bfloat16)),
        _with(x=IMAGES - 5, threat=LINF._replace(lower=-np.inf, upper=np.inf)),
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
