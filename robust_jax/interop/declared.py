"""What a user says of a model: its layout, and that a difference is meant."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from robust_jax.core import layout, origin, outputs
from robust_jax.core.closures import as_partial
from robust_jax.core.origin import Layout, Origin
from robust_jax.interop.modules import as_function

_PLAIN = Origin("a function")


def channels_first(model: Callable[..., Any]) -> Partial:
    """A model of channels-first images, [C, H, W], which says so.

    Attacks and threats know channels-last images: of a model that says the other,
    evaluations, `rj.attack` and drivers turn the images that they are given, and what
    they give back. A model that says "channels last" gets its images turned.
    Guarantees: weights stay data.

    Args:
        model: of one example, of a batch or of (x, key); a module of NNX, Equinox or
            Linen, as `evaluate.robustness` takes it.
    Raises: TypeError: what is no function.

    >>> x = np.zeros((4, 3, 8, 8), np.float32)
    >>> model = rj.interop.channels_first(lambda x: x.mean((1, 2))[:2])
    >>> rj.attack("fgsm", model, x, np.zeros(4, int), rj.threats.Linf(0.1)).x_adv.shape
    (4, 3, 8, 8)
    """
    return _of("CHW", model, layout.with_first)


def channels_last(model: Callable[..., Any]) -> Partial:
    """A model of channels-last images, [H, W, C], which says so.

    See `channels_first`; a model that says "channels first" gets its images turned.

    >>> model = rj.interop.channels_first(lambda x: x[:, 0, 0])
    >>> rj.interop.channels_last(model)(jnp.ones((8, 8, 3))).shape
    (3,)
    """
    return _of("HWC", model, layout.with_last)


def despite_parity(model: Callable[..., Any]) -> Partial:
    """A model that is judged though it differs from the net that it comes from.

    Evaluations refuse an imported net whose logits are not those of the original
    (`core.origin.Parity`); of this one they print the difference.

    >>> from robust_jax.core.origin import Origin, Parity, of
    >>> apart = rj.core.layout.declared(net, Origin("a.Net", parity=Parity(8, 0.1, 7)))
    >>> print(of(rj.interop.despite_parity(apart)))
    a.Net: logits differ by 1.0e-01 of the largest, the same class on 7 of 8 images;
    accepted
    """
    said = origin.of(model)
    if said is None or said.parity is None:
        return as_partial(model)
    parity = dataclasses.replace(said.parity, is_accepted=True)
    return layout.declared(model, dataclasses.replace(said, parity=parity))


def _of(wanted: Layout, model: Any, turned: Callable[..., Partial]) -> Partial:
    model = as_function(model)
    outputs.check_callable("model", model)
    said = origin.of(model)
    if said is not None and said.layout is not None:
        return as_partial(model) if said.layout == wanted else turned(model)
    now = dataclasses.replace(said or _PLAIN, layout=wanted)
    return layout.declared(model, now)
