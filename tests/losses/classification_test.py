import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from jax.test_util import check_grads

from robust_jax import losses
from robust_jax.core.margin import margin as core_margin

cross_entropy = jax.jit(losses.cross_entropy)
dlr = jax.jit(losses.dlr)
targeted_dlr = jax.jit(losses.targeted_dlr)
kl_divergence = jax.jit(losses.kl_divergence)
logit_difference = jax.jit(losses.logit_difference)

LOGITS = np.array([1.0, -2.0, 4.0, 0.5, 3.0])
LABEL, TARGET = 4, 3
SOFT = np.array([0.5, 0.0, 0.2, 0.3, 0.0])
LOSSES = {
    "cross_entropy": lambda z: cross_entropy(z, LABEL),
    "dlr": lambda z: dlr(z, LABEL),
    "targeted_dlr": lambda z: targeted_dlr(z, LABEL, TARGET),
    "kl_divergence": lambda z: kl_divergence(z, jnp.roll(z, 1)),
    "soft_cross_entropy": lambda z: losses.soft_cross_entropy(z, SOFT),
    "boosted_cross_entropy": lambda z: losses.boosted_cross_entropy(z, LABEL),
    "squared_error": lambda z: losses.squared_error(z, SOFT),
    "jensen_shannon": lambda z: losses.jensen_shannon(z, jnp.roll(z, 1)),
    "logit_difference": lambda z: logit_difference(z, LABEL, TARGET),
}


def softmax(logits):
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()


def test_closed_forms():
    p, q = softmax(LOGITS), softmax(LOGITS[::-1])
    pairs = [
        (cross_entropy(LOGITS, LABEL), -np.log(p[LABEL])),
        (dlr(LOGITS, LABEL), (4 - 3) / (4 - 1)),
        (dlr(LOGITS, 2), (3 - 4) / (4 - 1)),
        (targeted_dlr(LOGITS, LABEL, TARGET), (0.5 - 3) / (4 - (1 + 0.5) / 2)),
        (kl_divergence(LOGITS, LOGITS[::-1]), (p * np.log(p / q)).sum()),
        (logit_difference(LOGITS, LABEL, TARGET), 0.5 - 3),
    ]
    for found, value in pairs:
        np.testing.assert_allclose(found, value, rtol=1e-6)


def test_closed_forms_of_training_losses():
    p, q = softmax(LOGITS), softmax(LOGITS[::-1])
    middle = (p + q) / 2
    apart = (p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()
    boosted = -np.log(p[LABEL]) - np.log(1.0001 - p[2] + 1e-12)
    pairs = [
        (losses.soft_cross_entropy(LOGITS, SOFT), -(SOFT * np.log(p)).sum()),
        (losses.boosted_cross_entropy(LOGITS, LABEL), boosted),
        (losses.squared_error(LOGITS, SOFT), ((p - SOFT) ** 2).sum()),
        (losses.jensen_shannon(LOGITS, LOGITS[::-1]), apart / 2),
        (losses.smoothed(SOFT, 0.1), 0.9 * SOFT + 0.02),
    ]
    for found, value in pairs:
        np.testing.assert_allclose(found, value, rtol=1e-5)


def test_training_losses_are_finite_where_a_class_is_sure():
    sure = jnp.array([200.0, -200.0, -jnp.inf])
    for loss in (
        lambda z: losses.boosted_cross_entropy(z, 1),
        lambda z: losses.jensen_shannon(z, jnp.zeros(3)),
        lambda z: losses.soft_cross_entropy(z, jnp.array([0.5, 0.5, 0.0])),
    ):
        value, grad = jax.value_and_grad(loss)(sure.at[2].set(-300.0))
        assert np.isfinite(value) and np.isfinite(grad).all()
    assert np.isfinite(losses.soft_cross_entropy(sure, jnp.array([1.0, 0.0, 0.0])))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss):
    with jax.enable_x64(True):
        check_grads(LOSSES[loss], (jnp.asarray(LOGITS),), order=1, modes=["rev"])


def test_gradients_of_both_sides_of_kl():
    with jax.enable_x64(True):
        pair = jnp.asarray(LOGITS), jnp.asarray(LOGITS[::-1].copy())
        check_grads(kl_divergence, pair, order=1, modes=["rev"])


@settings(max_examples=30)
@given(
    scale=st.floats(0.01, 100),
    shift=st.floats(-10, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_dlr_does_not_see_scale_or_shift(scale, shift, seed):
    logits = np.random.default_rng(seed).normal(size=6)
    with jax.enable_x64(True):
        moved = scale * logits + shift
        np.testing.assert_allclose(dlr(moved, 1), dlr(logits, 1), rtol=1e-6)
        np.testing.assert_allclose(
            targeted_dlr(moved, 1, 5), targeted_dlr(logits, 1, 5), rtol=1e-6
        )


def test_dlr_has_the_sign_of_the_margin_and_exceeds_one_only_below_third():
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    ratios = jax.vmap(dlr, (0, None))(logits, 2)
    others = np.delete(logits, 2, axis=1).max(axis=1)
    np.testing.assert_array_equal(ratios >= 0, others >= logits[:, 2])
    wrong = np.argsort(logits, axis=1)[:, 1:] == 2  # The label among the top three.
    assert ratios[wrong.any(axis=1)].max() <= 1
    assert ratios[logits.argmin(axis=1) == 2].max() > 1


@pytest.mark.parametrize("logits", [[2.0, 2.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
def test_a_tie_of_the_label_is_zero(logits):
    logits = jnp.array(logits)
    assert dlr(logits, 0) == 0 and dlr(logits, 1) == 0
    assert targeted_dlr(logits, 0, 1) == 0
    assert logit_difference(logits, 0, 1) == 0


def test_equal_top_logits_do_not_divide_by_zero():
    logits = jnp.array([3.0, 3.0, 3.0, 3.0, 1.0])
    assert dlr(logits, 4) > 1e6 and jnp.isfinite(dlr(logits, 4))
    assert targeted_dlr(logits, 4, 0) > 1e6
    assert jnp.isfinite(jax.grad(dlr)(logits, 4)).all()


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_equal_logits_have_the_entropy_of_a_guess(classes):
    found = cross_entropy(jnp.full(classes, 7.0), 1)
    np.testing.assert_allclose(found, np.log(classes), rtol=1e-6)


def test_two_classes():
    logits = jnp.array([0.5, -1.0])
    np.testing.assert_allclose(cross_entropy(logits, 0), np.log1p(np.exp(-1.5)))
    assert logit_difference(logits, 0, 1) == -1.5
    np.testing.assert_allclose(
        kl_divergence(logits, -logits), 1.5 * np.tanh(0.75), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "classes", "message"),
    [
        ("dlr", 2, "K=2 classes; expected at least 3 for DLR; use the margin"),
        ("targeted_dlr", 3, "K=3 classes; expected at least 4 for targeted DLR"),
    ],
)
def test_too_few_classes_are_named(loss, classes, message):
    with pytest.raises(ValueError, match=message):
        jax.make_jaxpr(LOSSES[loss])(jnp.zeros(classes))


def test_the_fewest_classes_are_enough():
    np.testing.assert_allclose(dlr(jnp.array([1.0, 3.0, 0.0]), 0), 2 / 3)
    found = targeted_dlr(jnp.array([1.0, 3.0, 0.0, 2.0]), 1, 0)
    np.testing.assert_allclose(found, -2 / 2.5, rtol=1e-6)


def test_saturated_softmax_stays_finite():
    sure = jnp.array([1e4, 0.0, -1e4, 0.0])
    right, wrong = (jax.value_and_grad(cross_entropy)(sure, i) for i in (0, 1))
    assert right[0] == 0 and wrong[0] == 1e4
    np.testing.assert_array_equal(right[1], [0, 0, 0, 0])
    np.testing.assert_array_equal(wrong[1], [1, -1, 0, 0])
    for loss in (dlr, lambda z, i: kl_divergence(z, jnp.roll(z, i))):
        value, grad = jax.value_and_grad(loss)(sure, 1)
        assert jnp.isfinite(value) and jnp.isfinite(grad).all()


@pytest.mark.parametrize("lead", [20.0, 60.0])
def test_cross_entropy_is_exact_where_softmax_rounds_to_one(lead):
    value, grad = jax.value_and_grad(cross_entropy)(jnp.array([lead, 0.0, -1.0]), 0)
    others = np.exp(-lead) * np.array([1, np.exp(-1)])
    np.testing.assert_allclose(value, others.sum(), rtol=1e-5)
    np.testing.assert_allclose(grad, [-others.sum(), *others], rtol=1e-5)


def test_kl_of_equal_distributions_is_flat():
    logits = jnp.asarray(LOGITS, jnp.float32)
    value, grads = jax.value_and_grad(kl_divergence, (0, 1))(logits, logits + 2)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(grads, np.zeros((2, 5)), atol=1e-6)


def test_kl_ignores_a_class_that_p_excludes():
    p, q = jnp.array([0.0, 0.0, -jnp.inf]), jnp.array([0.0, 0.0, 0.0])
    value, grad = jax.value_and_grad(kl_divergence, 1)(p, q)
    np.testing.assert_allclose(value, np.log(1.5), rtol=1e-6)
    np.testing.assert_allclose(grad, [1 / 3 - 1 / 2, 1 / 3 - 1 / 2, 1 / 3], atol=1e-6)


@pytest.mark.parametrize("where", range(5))
@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"logit_difference"}))
def test_nan_is_not_hidden(loss, where):
    logits = jnp.asarray(LOGITS).at[where].set(jnp.nan)
    assert jnp.isnan(LOSSES[loss](logits))


def test_half_precision_is_widened():
    logits = jnp.array([300.0, 299.0, 0.0, 1.0], jnp.bfloat16)
    for loss in (cross_entropy, dlr):
        assert loss(logits, 1).dtype == jnp.float32
    wide = cross_entropy(logits.astype(jnp.float32), 1)
    np.testing.assert_array_equal(cross_entropy(logits, 1), wide)
    tie = jnp.full(3, 2.0, jnp.float16)  # 1e-12 underflows in float16.
    assert dlr(tie, 0) == 0


def test_labels_are_traced_and_batched():
    logits, labels = jnp.asarray(np.tile(LOGITS, (5, 1))), jnp.arange(5)
    found = jax.jit(jax.vmap(dlr))(logits, labels)
    np.testing.assert_allclose(found, [dlr(LOGITS, i) for i in range(5)], rtol=1e-6)


def test_margin_is_the_one_of_core():
    assert losses.margin is core_margin
