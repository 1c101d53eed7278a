"""Images and the box of their threat: units are the box's, rounding is no violation."""

import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.core import boxes
from tests import victims

INF, NAN = np.inf, np.nan
IMAGES = victims.inputs((2, 2), 3)
# Of CIFAR-10 and of ImageNet, as they are usually written.
MEANS = (0.4914, 0.4822, 0.4465), (0.485, 0.456, 0.406)
DEVIATIONS = (0.2471, 0.2435, 0.2616), (0.229, 0.224, 0.225)


def but(value, position=1, where=IMAGES):
    changed = where.copy()
    changed[position] = value
    return changed


def refuses(sentence, check, *arguments, **options):
    with pytest.raises((ValueError, TypeError), match=sentence) as error:
        check(*arguments, **options)
    assert "\n" not in str(error.value)


def within(images, lower=0.0, upper=1.0):
    return boxes.inside(np.asarray(images), threats.Linf(0.1, lower, upper))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (
            but(1.5),
            r"images\[1\]\[0, 0\]=1\.5 is outside .* \[0, 1\] by 0\.5 \(4 of 12",
        ),
        (but(-0.25), r"images\[1\]\[0, 0\]=-0\.25 .*normalisation inside the model"),
        (but(NAN), r"images\[1\] holds NaN or inf; remove or repair"),
        (but(-INF, 2), r"images\[2\] holds NaN or inf; remove or repair"),
        (
            but(1 + 1e-5, (1, 1, 0)),
            r"images\[1\]\[1, 0\]=1\.0000\d* is outside .* by 1e-05",
        ),
    ],
)
def test_the_pixel_that_is_furthest_outside_is_named(images, sentence):
    refuses(sentence, within, images)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, jnp.bfloat16])
def test_images_on_the_faces_of_the_box_stay_as_they_are(dtype):
    given = np.array([[0, 1], [0.5, 1]], dtype)
    np.testing.assert_array_equal(within(given), given.astype(np.float32))
    within(IMAGES - 0.5, lower=-0.5, upper=np.full((2, 2), 0.5))


def test_each_pixel_has_its_own_box():
    upper = np.array([[1.0, 1.0], [1.0, 0.5]])
    sentence = r"images\[1\]\[1, 1\]=0\.75 is outside the threat's box \[0, 0\.5\]"
    refuses(sentence, within, but(0.75), upper=upper)


@pytest.mark.parametrize("statistics", [0, 1])
@pytest.mark.parametrize("way", range(4))
def test_normalised_in_single_precision_with_a_box_in_double(statistics, way):
    """What exceeds the box by rounding is put on its face, no pixel further."""
    mean, deviation = MEANS[statistics], DEVIATIONS[statistics]
    single = np.float32(mean), np.float32(deviation)
    pixels = np.stack([np.zeros((2, 2, 3)), np.ones((2, 2, 3))]).astype(np.float32)
    bytes_ = np.float32(255) * pixels
    images = [
        lambda m, d: (pixels - m) / d,
        lambda m, d: (bytes_ - 255 * m) / (255 * d),
        lambda m, d: pixels * (1 / d) - m / d,
        lambda m, d: (pixels - m) * np.reciprocal(d),
    ][way](*single)
    lower, upper = ((k - np.array(mean)) / np.array(deviation) for k in (0, 1))
    held = within(images, lower, upper)
    np.testing.assert_allclose(held, images, rtol=1e-6)
    assert (held >= lower.astype(np.float32)).all()
    assert (held <= upper.astype(np.float32)).all()
    further = (but(upper[2] + 1e-4, (1, 0, 1, 2), images), lower, upper)
    refuses(
        r"images\[1\]\[0, 1, 2\]=2\.\d+ is outside .*, 2\.\d+\] by 0\.0001 ",
        within,
        *further,
    )


def check(threat, shape=(5, 4, 3, 2), **options):
    boxes.check(threat, shape, **options)


@pytest.mark.parametrize(
    "shape", [(), (2,), (4, 3, 2), (1, 1, 1, 2), (5, 4, 3, 2), (5, 1, 1, 1), (4, 1, 1)]
)
def test_boxes_that_fit(shape):
    check(threats.Linf(0.1, upper=np.ones(shape)))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0", "patch"])
def test_the_largest_radius_is_that_of_the_box_whatever_its_units(norm):
    """A box 255 wide: 255 for a pixel, and as much for the sums over 24 of them."""
    kind = threats.by_name(norm)
    largest = {"linf": 255, "l2": 255 * 24**0.5, "l1": 255 * 24, "l0": 24, "patch": 4}
    check(kind(largest[norm], 0.0, 255.0))
    more = largest[norm] + (1 if norm in ("l0", "patch") else 0.01 * largest[norm])
    refuses("so that any image would do", check, kind(more, 0.0, 255.0))
    refuses("so that any image would do", check, kind(more))
    if norm != "patch":
        check(kind(INF, 0.0, 255.0), cap=True)
        upper = np.full((5, 4, 3, 2), 1.0)
        upper[2] = 255
        check(kind(largest[norm], 0.0, upper))


@pytest.mark.parametrize(
    ("threat", "sentence"),
    [
        (threats.Linf, "threat=<class .*Linf.*; expected one with its radius"),
        ("linf", "threat='linf'; expected one with its radius"),
        (None, "threat=None; expected one with its radius"),
        (threats.Linf("8"), "eps='8'; expected a radius"),
        (threats.Linf(None), "eps=None; expected a radius"),
        (threats.L2(np.ones(4)), r"eps\.shape=\(4,\); expected one radius"),
        (threats.L2(0.1, NAN), "lower of the threat's box holds NaN"),
        (threats.L2(0.1, 1.0, 0.0), "lower=1 and upper=0 .* lower <= upper"),
        (threats.L2(0.1, np.zeros(3)), r"lower\.shape=\(3,\) .*; expected a number"),
        (threats.L2(0.1, upper=np.ones((6, 4, 3, 2))), r"upper\.shape=\(6, 4, 3, 2\)"),
        (threats.L2(0.1, upper="1"), "upper='1'; expected a number"),
        (threats.Linf(0.2, 0.0, 0.1), "eps=0.2 exceeds the width 0.1 of the threat's"),
        (threats.L0(0.5), "eps=0.5 with l0; expected a number of coordinates"),
        (threats.Patch(99), "eps=99 exceeds the sides 4 and 3 of an image"),
    ],
)  # fmt: skip
def test_threats_that_do_not_fit(threat, sentence):
    refuses(sentence, check, threat)
