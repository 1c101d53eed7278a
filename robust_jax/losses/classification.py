"""Losses of one example's logits, shape [K] -> [], in float32 at least.

Labels are read by masks, not by gathers, so that logits may be sharded over classes.
Edge cases: a NaN among the logits gives NaN, except that `logit_difference` sees only
the two it reads.
"""

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from robust_jax.core.margin import margin
from robust_jax.core.types import Array, Untargeted

_TINY = 1e-12  # Croce & Hein's code: keeps DLR finite when its top logits are equal.
_ABOVE_ONE = 1.0001  # MART's code: keeps log(1 - p) finite at p = 1.


def cross_entropy(logits: Array, label: ArrayLike) -> Array:
    """Minus the log-probability of the label, in nats.

    Written as softplus(logsumexp of the other logits - the label's): where softmax
    rounds to 1 in float32 (a lead of 17 nats), value and gradient stay exact.
    Guarantees: finite for finite logits; >= 0.
    Edge cases: a lead beyond 87 nats underflows to value and gradient zero (use the
    margin); K equal logits give log K; K = 2 is the logistic loss.

    Args:
        logits: shape [K], K >= 2.
        label: shape [], integer in [0, K).
    Returns: shape [].
    References: softmax cross entropy. Differs from its usual form in:
        softplus(logsumexp of the others - own logit), the same number, exact where
        softmax rounds to one.

    >>> rj.losses.cross_entropy(jnp.array([2.0, 1.0, 0.0]), 0)
    Array(0.408, dtype=float32)
    """
    logits = _wide(logits)
    is_label = _mask(logits, label)
    others = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits))
    return jax.nn.softplus(others - _pick(logits, label))


def dlr(logits: Array, label: ArrayLike) -> Array:
    """The difference of logits ratio: the margin in units of the top three's spread.

    -(z_label - max of the others) / (z_1 - z_3), with z_1 >= z_2 >= z_3 the sorted
    logits: free of the logits' shift and scale. It is >= 0 iff the example is
    adversarial, and exceeds 1 only where the label is below third.
    Edge cases: constant (zero gradient) where the label is third, which is
    adversarial; three equal top logits give 0 if the label is one of them and a huge
    number otherwise.

    Args:
        logits: shape [K], K >= 3.
        label: shape [], integer in [0, K).
    Returns: shape [].
    Raises: ValueError: if K < 3.
    References: Croce & Hein, "Reliable evaluation of adversarial robustness ...",
    ICML 2020. Differs from the authors' code in nothing.

    >>> rj.losses.dlr(jnp.array([3.0, 1.0, 0.0]), 0)
    Array(-0.667, dtype=float32)
    >>> rj.losses.dlr(jnp.array([30.0, 10.0, 0.0]), 0)
    Array(-0.667, dtype=float32)
    """
    _check_classes(logits, 3, "DLR")
    logits = _wide(logits)
    first, _, third = lax.top_k(logits, 3)[0]
    return margin(logits, Untargeted(label)) / (first - third + _TINY)


def targeted_dlr(logits: Array, label: ArrayLike, target: ArrayLike) -> Array:
    """The target's lead over the label in units of the top four's spread.

    -(z_label - z_target) / (z_1 - (z_3 + z_4) / 2), with the sorted logits z_1 >= z_2
    >= z_3 >= z_4: free of the logits' shift and scale. It grows as the target
    overtakes the label.
    Edge cases: four equal top logits give 0 if label and target are among them and a
    number of huge size otherwise.

    Args:
        logits: shape [K], K >= 4.
        label: shape [], integer in [0, K).
        target: shape [], integer in [0, K), other than the label.
    Returns: shape [].
    Raises: ValueError: if K < 4.
    References: Croce & Hein, "Reliable evaluation of adversarial robustness ...",
    ICML 2020. Differs from the authors' code in nothing.

    >>> rj.losses.targeted_dlr(jnp.array([3.0, 2.0, 1.0, 0.0]), 0, 1)
    Array(-0.4, dtype=float32)
    """
    _check_classes(logits, 4, "targeted DLR")
    logits = _wide(logits)
    first, _, third, fourth = lax.top_k(logits, 4)[0]
    spread = first - (third + fourth) / 2
    return logit_difference(logits, label, target) / (spread + _TINY)


def kl_divergence(p_logits: Array, q_logits: Array) -> Array:
    """KL(p || q) of the two softmaxes, in nats.

    Guarantees: finite for finite logits; zero with zero gradient for equal ones.
    Edge cases: a class that p excludes (logit -inf) adds nothing; rounding can make
    the sum of nearly equal distributions negative by about 1e-7.

    Args:
        p_logits: shape [K].
        q_logits: shape [K].
    Returns: shape [].

    >>> rj.losses.kl_divergence(jnp.zeros(2), jnp.array([1.0, 0.0]))
    Array(0.12, dtype=float32)
    """
    chex.assert_rank([p_logits, q_logits], 1)
    log_p = jax.nn.log_softmax(_wide(p_logits))
    log_q = jax.nn.log_softmax(_wide(q_logits))
    p = jnp.exp(log_p)
    return jnp.sum(p * jnp.where(p == 0, 0, log_p - log_q))


def soft_cross_entropy(logits: Array, target: Array) -> Array:
    """Minus the target's mean log-probability, in nats.

    Edge cases: a class that the target excludes adds nothing, whatever its logit.

    Args:
        logits: shape [K], K >= 2.
        target: shape [K], >= 0, sums to one.
    Returns: shape [].

    >>> rj.losses.soft_cross_entropy(jnp.zeros(2), jnp.array([0.3, 0.7]))
    Array(0.693, dtype=float32)
    """
    chex.assert_equal_shape([logits, target])
    log_p = jax.nn.log_softmax(_wide(logits))
    return -jnp.sum(target * jnp.where(target == 0, 0, log_p))


def smoothed(target: Array, smoothing: float) -> Array:
    """(1 - smoothing) * target + smoothing / K, shape [K] (Szegedy et al., CVPR 2016).

    Args:
        target: a distribution, shape [K].
        smoothing: the uniform distribution's share, in [0, 1).

    >>> rj.losses.smoothed(jnp.array([1.0, 0.0]), 0.2)
    Array([0.9, 0.1], dtype=float32)
    """
    return (1 - smoothing) * target + smoothing / target.shape[-1]


def boosted_cross_entropy(logits: Array, label: ArrayLike) -> Array:
    """-log p_label - log(1 - the largest other probability), in nats.

    Edge cases: finite where another class has probability one (9.2 nats).

    Args:
        logits: shape [K], K >= 2.
        label: shape [], integer in [0, K).
    Returns: shape [].
    References: Wang et al., "Improving adversarial robustness requires revisiting
        misclassified examples", ICLR 2020, Eq. 9, with the constants 1.0001 and 1e-12
        of the authors' code. Differs from it in: tied classes share the gradient.

    >>> rj.losses.boosted_cross_entropy(jnp.array([2.0, 1.0, 0.0]), 0)
    Array(0.688, dtype=float32)
    """
    p = jax.nn.softmax(_wide(logits))
    largest = jnp.max(jnp.where(_mask(logits, label), -jnp.inf, p))
    away = -jnp.log(_ABOVE_ONE - largest + _TINY)
    return cross_entropy(logits, label) + away


def squared_error(logits: Array, target: Array) -> Array:
    """The squared Euclidean distance of the softmax to a distribution, in [0, 2].

    Args:
        logits: shape [K].
        target: shape [K], sums to one.
    Returns: shape [].
    References: Pang et al., "Robustness and accuracy could be reconcilable by (proper)
        definition", ICML 2022. Not compared with the authors' code.

    >>> rj.losses.squared_error(jnp.zeros(2), jnp.array([1.0, 0.0]))
    Array(0.5, dtype=float32)
    """
    chex.assert_equal_shape([logits, target])
    return jnp.sum((jax.nn.softmax(_wide(logits)) - target) ** 2)


def jensen_shannon(p_logits: Array, q_logits: Array) -> Array:
    """The mean KL divergence of two softmaxes to their mean, in [0, log 2] nats.

    Guarantees: finite for finite logits; symmetric; zero for equal ones.

    Args:
        p_logits: shape [K].
        q_logits: shape [K].
    Returns: shape [].

    >>> rj.losses.jensen_shannon(jnp.zeros(2), jnp.array([1.0, 0.0]))
    Array(0.029, dtype=float32)
    """
    log_p = jax.nn.log_softmax(_wide(p_logits))
    log_q = jax.nn.log_softmax(_wide(q_logits))
    middle = jnp.logaddexp(log_p, log_q) - jnp.log(2.0)
    return (kl_divergence(log_p, middle) + kl_divergence(log_q, middle)) / 2


def logit_difference(logits: Array, label: ArrayLike, target: ArrayLike) -> Array:
    """The target's logit minus the label's.

    Edge cases: a tie gives 0; equal to the margin if K = 2.

    Args:
        logits: shape [K], K >= 2.
        label: shape [], integer in [0, K).
        target: shape [], integer in [0, K).
    Returns: shape [].

    >>> rj.losses.logit_difference(jnp.array([3.0, 1.0, 0.0]), 0, 1)
    Array(-2., dtype=float32)
    """
    logits = _wide(logits)
    return _pick(logits, target) - _pick(logits, label)


def _wide(logits: Array) -> Array:
    """Half precision would lose small differences between large logits."""
    chex.assert_rank(logits, 1)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _mask(logits: Array, index: ArrayLike) -> Array:
    return jnp.arange(logits.shape[0]) == index


def _pick(logits: Array, index: ArrayLike) -> Array:
    return jnp.sum(jnp.where(_mask(logits, index), logits, 0))


def _check_classes(logits: Array, least: int, loss: str) -> None:
    chex.assert_rank(logits, 1)
    if logits.shape[0] < least:
        raise ValueError(
            f"K={logits.shape[0]} classes; expected at least {least} for {loss}; "
            "use the margin or the cross entropy"
        )
