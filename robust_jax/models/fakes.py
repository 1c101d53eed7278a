"""Fake defences: nets that look robust to a careless evaluation, and are not.

Each wraps a net that works, hides its weakness in a way that was published or happens
by mistake, and should be exposed by an evaluation that is worth its name: try your own
on `fake_catalog.list_fakes()`. The wrapped net and the strength are leaves of the
model, a pytree, so that full and mild versions of one architecture share their compiled
programs.
References: Athalye et al., "Obfuscated gradients give a false sense of security", ICML
2018; Carlini et al., "On evaluating adversarial robustness", 2019; Tramer et al., "On
adaptive attacks to adversarial example defenses", NeurIPS 2020.
"""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jax.typing import ArrayLike

from robust_jax.core.types import Array, Key, LogitsFn
from robust_jax.models.fake_batches import batch_normalised, label_leak, nan_off_data
from robust_jax.models.k_winners import k_winners, with_activation
from robust_jax.models.wrapping import TINY, as_partial, hashed, number

__all__ = [
    "as_partial",
    "batch_normalised",
    "constant_logits",
    "detached_preprocessing",
    "extra_softmax",
    "gradient_killer",
    "hash_noise",
    "input_noise",
    "k_winners_take_all",
    "label_leak",
    "nan_off_data",
    "quantised",
    "temperature",
]

_PERIOD = 1 / 16  # Of the mean pixel: half a digit's brightness more or less.
_LEAK = 1e-3


def gradient_killer(base: LogitsFn, share: ArrayLike = 1.0) -> Partial:
    """The net's answers without their gradient, on a share of the inputs.

    Which inputs is a matter of their mean pixel, cut into narrow bands. White-box
    attacks stay at their start there: the model looks robust to all of them.
    Remedy: attacks without gradients, transfer; differentiate the net itself.

    Args:
        base: the net, [*S] -> [K].
        share: of the inputs, in [0, 1].
    Returns: [*S] -> [K], the logits of `base`.
    Raises: ValueError: a share outside [0, 1].

    >>> net = rj.models.fakes.gradient_killer(lambda x: x)
    >>> jax.grad(lambda x: net(x).sum())(jnp.array([0.1, 0.3]))
    Array([0., 0.], dtype=float32)
    """
    return Partial(_gradient_killer, number("share", share, 0, 1), as_partial(base))


def quantised(base: LogitsFn, levels: ArrayLike = 4.0) -> Partial:
    """The net behind a rounding of the pixels to a few levels.

    Rounding has gradient zero wherever it has one, and small perturbations vanish.
    Remedy: the identity as the derivative of the rounding (BPDA,
    `attacks.straight_through`), attacks without gradients.

    Args:
        base: the net, [*S] -> [K].
        levels: values that a pixel may have, 0 and 1 included, >= 2.
    Returns: [*S] -> [K].
    Raises: ValueError: fewer than two levels.
    References: Xu et al., "Feature squeezing", NDSS 2018.

    >>> net = rj.models.fakes.quantised(lambda x: x, levels=3)
    >>> net(jnp.array([0.1, 0.3]))
    Array([0., 0.5], dtype=float32)
    """
    steps = number("levels", levels, 2) - 1
    return Partial(_quantised, steps, as_partial(base))


def temperature(base: LogitsFn, factor: ArrayLike = 1000.0) -> Partial:
    """The net's logits times a large number.

    The classes stay. Softmax rounds to 0 and 1, so cross entropy and its gradient
    underflow to zero in float32 and attacks that climb it do not move (defensive
    distillation).
    Remedy: losses that do not depend on the scale, such as the margin and DLR.

    Args:
        base: the net, [*S] -> [K].
        factor: > 0, finite.
    Returns: [*S] -> [K].
    Raises: ValueError: a factor that is not positive.
    References: Papernot et al., "Distillation as a defense", S&P 2016; Carlini &
        Wagner, "Defensive distillation is not robust", 2016.

    >>> net = rj.models.fakes.temperature(lambda x: x, 1000.0)
    >>> net(jnp.array([0.1, 0.2]))
    Array([100., 200.], dtype=float32)
    """
    return Partial(_scaled, number("factor", factor, TINY), as_partial(base))


def extra_softmax(base: LogitsFn, scale: ArrayLike = 1.0) -> Partial:
    """The net's probabilities, times a number, where logits are expected.

    The loss takes a softmax of the softmax: outputs differ by `scale` at most, so that
    cross entropy neither falls to zero nor rises much, and where the net is sure, the
    inner softmax's gradient is the rounding error of larger numbers.
    Remedy: return the logits before the softmax.

    Args:
        base: the net, [*S] -> [K].
        scale: > 0; 1 gives probabilities, others escape a look at their sum.
    Returns: [*S] -> [K], values in [0, scale].
    Raises: ValueError: a scale that is not positive.

    >>> net = rj.models.fakes.extra_softmax(lambda x: x)
    >>> net(jnp.zeros(2))
    Array([0.5, 0.5], dtype=float32)
    """
    return Partial(_softmax, number("scale", scale, TINY), as_partial(base))


def k_winners_take_all(base: LogitsFn, share: ArrayLike = 0.05) -> Partial:
    """The net with its ReLUs replaced by "the largest k units of the layer".

    Who wins changes with every small step, so that the logits are discontinuous in x
    everywhere and the gradient says little about the next point. A net keeps its
    accuracy only if it was trained like this.
    Remedy: attacks without gradients, many restarts, gradients averaged over a
    neighbourhood.

    Args:
        base: a net with `jax.nn.relu` inside, [*S] -> [K], of one example.
        share: of a layer's units that win, in (0, 1].
    Returns: [*S] -> [K].
    Raises: ValueError: a share outside (0, 1]; while tracing, a net without ReLU.
    References: Xiao et al., "Enhancing adversarial defense by k-winners-take-all", ICLR
        2020; broken by Tramer et al. (2020), Sec. 5. Differs from it in: replaces the
        ReLUs of a given net, which must be trained behind it.
    """
    share = number("share", share, TINY, 1)
    return Partial(_k_winners_take_all, share, as_partial(base))


def input_noise(base: LogitsFn, sigma: ArrayLike = 0.25) -> Partial:
    """The net behind fresh Gaussian noise: a randomised model.

    A gradient belongs to one draw, and so does a verdict: one lucky draw counts as a
    defence, one unlucky draw as an attack.
    Remedy: gradients averaged over draws (EOT, `attacks.expectation`), the verdict by
    majority over fresh draws; if noise is meant, a certificate of smoothing.

    Args:
        base: the net, [*S] -> [K].
        sigma: standard deviation, pixel units, >= 0.
    Returns: ([*S], key) -> [K]; deterministic in both.
    Raises: ValueError: a negative sigma.
    References: Athalye et al. (2018), Sec. 4.2.
    """
    return Partial(_input_noise, number("sigma", sigma, 0), as_partial(base))


def hash_noise(base: LogitsFn, sigma: ArrayLike = 0.25) -> Partial:
    """The net behind Gaussian noise that the input's own bits are the seed of.

    The model passes as deterministic, since equal inputs get equal noise, but every
    other input gets another: logits are discontinuous everywhere, and the gradient
    takes the noise for a constant.
    Remedy: as for any noise, with draws from the neighbourhood of the input.

    Args:
        base: the net, [*S] -> [K].
        sigma: standard deviation, pixel units, >= 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a negative sigma.
    """
    return Partial(_hash_noise, number("sigma", sigma, 0), as_partial(base))


def detached_preprocessing(
    base: LogitsFn, even: ArrayLike = -_LEAK, odd: ArrayLike = -_LEAK
) -> Partial:
    """The net behind a smooth contrast curve whose derivative is wrong.

    Values are right; the gradient that reaches the pixels is multiplied by `even` and
    `odd` on alternate pixels. Below zero it leads away from adversarial examples, zero
    hides pixels from the attack, as code does that leaves JAX for its preprocessing.
    Remedy: compare the gradient with finite differences; write the preprocessing in
    JAX, or give its derivative.

    Args:
        base: the net, [*S] -> [K].
        even: factor of the gradient at every other pixel.
        odd: factor at the others; both 1 make an honest net.
    Returns: [*S] -> [K].
    Raises: ValueError: a factor that is not finite.
    """
    slopes = number("even", even), number("odd", odd)
    return Partial(_detached_preprocessing, slopes, as_partial(base))


def constant_logits(
    base: LogitsFn,
    slope: ArrayLike = 0.0,
    offset: ArrayLike = 0.0,
    favour: ArrayLike = 1.0,
) -> Partial:
    """One answer for all inputs, or logits that hardly leave a constant.

    logits = slope * base(x) + offset, and `favour` more for class 0. With slope 0 no
    attack changes anything, and the accuracy is that of chance: only a relative
    number ("100 % of the attacks failed") makes it a defence. A small slope beside an
    offset leaves a few of float32's steps between the classes: losses look flat.
    Remedy: report robust beside clean accuracy; an unbounded attack must succeed.

    Args:
        base: the net, [*S] -> [K].
        slope: factor of the logits.
        offset: added to all.
        favour: added to the logit of class 0.
    Returns: [*S] -> [K].
    Raises: ValueError: a number that is not finite.
    """
    knobs = (
        number("slope", slope),
        number("offset", offset),
        number("favour", favour),
    )
    return Partial(_constant_logits, knobs, as_partial(base))


def _gradient_killer(share: Array, base: LogitsFn, x: Array) -> Array:
    killed = jnp.mod(jnp.mean(x) / _PERIOD, 1) < share
    return base(jnp.where(killed, jax.lax.stop_gradient(x), x))


def _quantised(steps: Array, base: LogitsFn, x: Array) -> Array:
    return base((jnp.round(x * steps) / steps).astype(x.dtype))


def _scaled(factor: Array, base: LogitsFn, x: Array) -> Array:
    return factor * base(x)


def _softmax(scale: Array, base: LogitsFn, x: Array) -> Array:
    return scale * jax.nn.softmax(base(x))


def _k_winners_take_all(share: Array, base: LogitsFn, x: Array) -> Array:
    return with_activation(base, lambda units: k_winners(units, share))(x)


def _input_noise(sigma: Array, base: LogitsFn, x: Array, key: Key) -> Array:
    return base(x + (sigma * jax.random.normal(key, x.shape)).astype(x.dtype))


def _hash_noise(sigma: Array, base: LogitsFn, x: Array) -> Array:
    key = jax.random.key(hashed(x), impl="threefry2x32")
    return _input_noise(sigma, base, x, key)


def _detached_preprocessing(
    slopes: tuple[Array, Array], base: LogitsFn, x: Array
) -> Array:
    seen = x - jnp.sin(2 * jnp.pi * x) / (4 * jnp.pi)  # Slope 0.5 to 1.5; 0, 1 stay.
    fixed = jax.lax.stop_gradient(seen)
    is_even = (sum(jnp.indices(x.shape)) % 2) == 0
    slope = jnp.where(is_even, *slopes).astype(x.dtype)
    return base(fixed + slope * (seen - fixed))


def _constant_logits(
    knobs: tuple[Array, Array, Array], base: LogitsFn, x: Array
) -> Array:
    slope, offset, favour = knobs
    logits = base(x)
    return slope * logits + offset + favour * (jnp.arange(logits.shape[-1]) == 0)
