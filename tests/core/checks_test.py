"""Each refusal is one sentence: the argument, its value and the remedy."""

import fractions
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from robust_jax import attacks, threats
from robust_jax.core import array_checks, checks
from robust_jax.evaluate import Stage
from robust_jax.models import by_name
from tests import victims

INF, NAN = np.inf, np.nan
IMAGES = victims.inputs((2, 2), 3)
LOGITS = np.array([[2.0, -1.0], [0.0, 3.0]])


def but(value, position=1, where=IMAGES):
    changed = where.copy()
    changed[position] = value
    return changed


def refuses(pattern, check, *arguments, **options):
    with pytest.raises(ValueError, match=pattern) as error:
        check(*arguments, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (
            np.zeros((3, 2, 2), np.uint8),
            r"images\.dtype=uint8; .*\.astype\('float32'\)",
        ),
        (np.zeros((3, 2), bool), r"images\.dtype=bool; expected floats"),
        (np.zeros((3, 2), complex), r"images\.dtype=complex128; expected floats"),
        (np.zeros(4), r"images\.shape=\(4,\); .*add a leading axis"),
        (np.float32(0.5), r"images\.shape=\(\); .*add a leading axis"),
        (np.zeros((0, 2, 2)), r"images\.shape=\(0, 2, 2\); expected a non-empty"),
        (np.zeros((3, 0)), r"images\.shape=\(3, 0\); expected a non-empty"),
        ([], r"images\.shape=\(0,\); expected a non-empty"),
        (None, r"images=None; expected floats of shape"),
        ("digits", r"images='digits'; expected floats of shape"),
        ([[1.0], [1.0, 2.0]], r"images of type list; expected floats of shape"),
        ({"a": 1}, r"images=\{'a': 1\}; expected floats"),
        (np.ma.masked_less(IMAGES, 0.5), r"images is a masked array.*\.filled"),
    ],
)
def test_images(images, sentence):
    refuses(sentence, array_checks.batch, images)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1, 4], r"labels\[2\]=4 for a model with 4 outputs; expected 0 to 3"),
        ([0, -1, 9], r"labels\[1\]=-1 .* check the labels and the model's head"),
        ([0.0, 1.0, 2.0], r"labels\.dtype=float64; .*labels\.astype\('int32'\)"),
        ([True, False, True], r"labels\.dtype=bool; expected integers"),
        (["a", "b", "c"], r"labels\.dtype=<U1; expected integers"),
        ([0, 1], r"labels\.shape=\(2,\); expected \(3,\), one class index per image"),
        (np.eye(3, dtype=int), r"labels\.shape=\(3, 3\); expected \(3,\)"),
        (2, r"labels\.shape=\(\); expected \(3,\)"),
    ],
)
def test_labels(labels, sentence):
    refuses(sentence, array_checks.labels, labels, 3, 4)


def test_labels_of_any_integer_type_pass():
    for dtype in (np.uint8, np.int64):
        array_checks.labels(np.array([0, 3, 1], dtype), 3, 4)
    array_checks.labels(jnp.array([0, 3, 1]), 3, 4)


@pytest.mark.parametrize(
    ("logits", "sentence"),
    [
        (np.array([[0.25, 0.75], [1, 0]]), "returns probabilities .* before the softm"),
        (
            np.zeros((3, 1)),
            r"shape \(1,\) per example; expected \[K\] logits .* K >= 2",
        ),
        (np.zeros(3), r"outputs of shape \(\) per example"),
        (np.zeros((3, 1, 10)), r"outputs of shape \(1, 10\) per example"),
        (but(NAN, (1, 0), LOGITS), "logits at clean image 1 are not finite; mend"),
        (but(INF, (0, 1), LOGITS), "logits at clean image 0 are not finite"),
    ],
)
def test_clean_logits(logits, sentence):
    refuses(sentence, array_checks.clean_logits, logits)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("classes", [3, 1000])
def test_softmax_in_half_precision(dtype, classes):
    logits = np.random.default_rng(0).normal(size=(64, classes))
    shares = jax.nn.softmax(jnp.asarray(3 * logits, dtype)).astype(jnp.float32)
    refuses("the model returns probabilities", array_checks.clean_logits, shares)


def test_logits_that_only_look_like_probabilities_pass():
    passes = array_checks.clean_logits
    passes(LOGITS)
    passes([[0.25, 0.75], [0.5, 0.6]])  # One row does not sum to one,
    passes([[0.25, 0.75], [-1.0, 2.0]])  # one is negative,
    passes(np.log([[0.25, 0.75], [0.5, 0.5]]))  # or they are logarithms.


@pytest.mark.parametrize(
    ("norm", "eps", "sentence"),
    [
        ("l2", -0.5, "eps=-0.5; expected a finite radius >= 0 in pixel units"),
        ("linf", NAN, "eps=nan; expected a finite radius"),
        ("l1", INF, "eps=inf; expected a finite radius"),
        ("linf", INF, "eps=inf; expected a finite radius"),
        ("l2", [0.1, NAN, 0.2], "eps=nan; expected"),
        ("linf", 8, "eps=8 exceeds the width 1 of the threat's box"),
        ("linf", [0.1, 1.5], "eps=1.5 exceeds the width 1"),
        ("l0", 0.5, "eps=0.5 with l0; expected a number of coordinates"),
        ("patch", 2.5, "eps=2.5 with patch; expected a number of pixels along a side"),
        ("l2", "large", "eps='large'; expected a radius"),
        ("l2", None, "eps=None; expected a radius"),
        ("l2", 1j, "eps=1j; expected a radius"),
    ],
)
def test_eps(norm, eps, sentence):
    refuses(sentence, array_checks.eps, norm, eps)


def test_radii_that_pass():
    array_checks.eps("linf", 1.0)
    array_checks.eps("linf", 0)
    array_checks.eps("l2", 8)
    array_checks.eps("l0", np.array([3.0, 10.0]))
    array_checks.eps("linf", [0.1, INF, 8], cap=True)
    refuses("eps=nan", array_checks.eps, "linf", NAN, cap=True)
    refuses("eps=-1", array_checks.eps, "l2", -1, cap=True)
    array_checks.eps("linf", 25.5, most=255.0)
    refuses("the width 255", array_checks.eps, "linf", 300.0, most=255.0)


@pytest.mark.parametrize("value", [0, -3, 2.0, True, False, "5", None, NAN])
def test_counts(value):
    sentence = re.escape(f"={value!r}; expected an integer >= 1")
    refuses(f"^steps{sentence}$", checks.positive_integer, "steps", value)
    refuses(f"^steps{sentence}$", attacks.pgd, steps=value)
    refuses(f"^restarts{sentence}$", Stage, "s", attacks.fgsm(), restarts=value)


def test_a_flag_is_no_count_even_where_the_count_one_is_known():
    attacks.bim(steps=1)
    refuses("^steps=True; expected an integer >= 1$", attacks.bim, steps=True)
    attacks.bim(steps=2)
    refuses("^steps=2.0; expected an integer >= 1$", attacks.bim, steps=2.0)


@pytest.mark.parametrize("count", [2**31, 10**12, 10**30])
def test_counts_that_no_state_could_hold(count):
    refuses(f"steps={count}; expected an integer <= 2,147,483,647", attacks.pgd, count)


@pytest.mark.parametrize("value", [-1, 2**32, 10**20, 0.0, True, "1", None])
def test_seeds_that_would_equal_others(value):
    refuses("seed=.*; expected an integer from 0 to 2.*32 - 1", checks.seed, value)


def test_seeds_that_pass():
    for value in (0, 2**32 - 1, np.int64(5)):
        checks.seed(value)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([0.25, 0.5], r"ids\.dtype=float64; expected integers"),
        ([-1, 2], "ids hold -1; expected integers >= 0"),
        ([1], r"ids\.shape=\(1,\); expected \(2,\)"),
        (["a", "b"], r"ids\.dtype=<U1; expected integers"),
        ([True, False], r"ids\.dtype=bool; expected integers"),
        ([2**64, 1], "ids.*; expected 2 integers"),
    ],
)
def test_ids(ids, sentence):
    refuses(sentence, array_checks.ids, ids, 2)


def test_the_largest_id_stays():
    names = array_checks.ids(np.array([0, 2**64 - 1], np.uint64), 2)
    assert names.tolist() == [0, 2**64 - 1]


@pytest.mark.parametrize(
    "value", [[True], [1, 0], [[True, False]], "ab", None, [0.0, 1.0]]
)
def test_marks(value):
    refuses(
        "^certified.*; expected .*booleans", array_checks.marks, "certified", value, 2
    )


@pytest.mark.parametrize("value", ["a", 9, [0, 9], [], [True], 1.5, None])
def test_a_subset_that_is_none(value):
    refuses("^subset=.*; expected ", array_checks.positions, "subset", value, 3)


def test_counts_that_pass():
    checks.positive_integer("steps", 1)
    checks.positive_integer("steps", np.int64(7))


@pytest.mark.parametrize("value", [0, -0.1, NAN, INF, "0.1", None, True])
def test_numbers(value):
    sentence = re.escape(f"relative_step={value!r}; expected a finite number > 0")
    refuses(sentence, checks.positive_number, "relative_step", value)


def test_numbers_of_numpy_pass():
    for value in (1, 0.5, np.float32(0.5), np.float64(0.5), np.int32(2)):
        checks.positive_number("relative_step", value)


@pytest.mark.parametrize(
    ("text", "number"), [("8/255", 8 / 255), ("1e-3", 1e-3), (" 2 / 4 ", 0.5)]
)
def test_numbers_as_people_write_them(text, number):
    assert checks.number_of(text) == number


@pytest.mark.parametrize("text", ["", "8/", "/255", "8/0", "8/255/2", "eight"])
def test_texts_that_are_no_number(text):
    with pytest.raises(ValueError, match=r"; expected a number, such as 0.03 or 8/255"):
        checks.number_of(text)


def test_a_threat_has_one_of_the_names():
    checks.threat("rays", threats.Linf(0.1), "linf")
    checks.threat("geoda", threats.Linf(0.1), "l2", "linf")
    sentence = "^threat=L1; expected L2 or Linf for geoda$"
    refuses(sentence, checks.threat, "geoda", threats.L1(0.1), "l2", "linf")
    sentence = "^threat=Linf; expected Patch for trained_patch$"
    refuses(sentence, checks.threat, "trained_patch", threats.Linf(1.0), "patch")


def test_unknown_names_suggest_the_nearest():
    known = ("svhn", "mnist", "cifar10")
    sentence = r"^unknown dataset 'cifar'; did you mean 'cifar10'\? \(known: cifar10, "
    refuses(sentence + r"mnist, svhn\)$", checks.known_name, "dataset", "cifar", known)
    refuses(r"'xyz' \(known: cifar10", checks.known_name, "dataset", "xyz", known)
    checks.known_name("dataset", "mnist", iter(known))
    refuses(r"unknown norm 'linff'; did you mean 'linf'", threats.by_name, "linff")
    refuses(r"unknown norm 'L2'; did you mean 'l2'", threats.by_name, "L2")
    refuses(r"'APGD-CE'; did you mean 'apgd_ce'", attacks.by_name, "APGD-CE")
    refuses(r"unknown model .*did you mean 'small_cnn'", by_name, "smallcnn")


HUGE = 10**400  # Beyond all floats.


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, fractions.Fraction(HUGE), 10**5000], ids=list("abcd")
)
def test_a_number_beyond_all_floats_is_refused(value):
    for check in (checks.positive_number, checks.non_negative_number, checks.share):
        refuses("size=.*; expected a", check, "size", value)
    for check in (checks.positive_integer, lambda _, value: checks.tile(value)):
        refuses("=.*; expected an integer", check, "tile", value)
    refuses("seed=.*; expected an integer", checks.seed, value)
    refuses("eps=.*; expected a radius", array_checks.eps, "linf", value)
    refuses("eta=.*; expected a finite", attacks.fab, eta=value)
    refuses("radii=.*; expected a tup", attacks.apgd, radii=(value, 1.0))


def test_a_layer_with_a_type_is_no_number():
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="relative_step=Linear.*; expected a number"):
        attacks.pgd(2, relative_step=layer)
