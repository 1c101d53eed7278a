"""Checking what attacks claim, by code that shares nothing with them.

Norms and box are computed in NumPy and float64; the model answers again, in another
batch layout than the attack's, a random one with other draws.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from robust_jax.core import boxes, closures, compiling, layout, lift, origin
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.compiling import own_settings
from robust_jax.core.memo import memoised
from robust_jax.core.metrics import wilson
from robust_jax.core.types import LogitsFn, ParametricThreat, Threat

_UNIT = float(np.finfo(np.float32).eps)  # Of a float32 next to its last place.
_BORDER = 1e-4  # DESIGN tolerance: below it a margin's sign may depend on the layout.
_AUDIT_TILE = 48  # Any size but the attack's: another layout.


class Claims(NamedTuple):
    """What a fresh look at n claimed adversarial examples found.

    >>> x_adv = images + np.array([[-0.2, 0.2]], np.float32)
    >>> claims = rj.evaluate.confirm(net, rj.threats.Linf(0.1), images, x_adv, labels)
    >>> claims.passed, claims.outside
    (False, array([0, 1, 2]))
    """

    n: int
    outside: np.ndarray  # positions whose norm or box is violated
    unconfirmed: np.ndarray  # positions that the fresh look gets right
    borderline: int  # unconfirmed ones that rounding or, of a random net, chance moves
    not_finite: np.ndarray  # positions where the model gives no finite logits
    excess: float  # largest norm minus its eps, in the threat's norm
    excess_of_box: float  # largest step outside the box, pixel units
    samples: int = 1  # fresh answers of a random net, whose majority is asked
    size: np.ndarray = np.zeros(0)  # [n] float64, in its norm; NaN: of parameters
    refuted: np.ndarray = np.zeros(0, np.int64)  # unconfirmed, and not borderline

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    @property
    def passed(self) -> bool:
        """No example outside the threat set; unconfirmed ones only at the border."""
        return len(self.outside) == 0 and len(self.unconfirmed) == self.borderline

    def __str__(self) -> str:
        asked, border = "a fresh forward pass", f"with |margin| < {_BORDER:g}"
        if self.samples > 1:
            asked = f"the majority of {self.samples} fresh answers"
            border = "with 1/2 in the 95 % interval"
        inside = (
            f"{len(self.outside)} outside the threat set (largest excess "
            f"{self.excess:.1e}, box {self.excess_of_box:.1e})"
        )
        if self.size.size and np.isnan(self.size).all():
            inside = "the parameters behind them not known"
        return (
            f"{self.n} adversarial examples: {inside}, "
            f"{len(self.unconfirmed)} not confirmed by {asked} "
            f"({self.borderline} of them {border}), "
            f"{len(self.not_finite)} without finite logits"
        )


_NOBODY = np.zeros(0, np.int64)
NO_CLAIMS = Claims(0, _NOBODY, _NOBODY, 0, _NOBODY, 0.0, 0.0)


@own_settings()
def predict(logits_fn: LogitsFn, images: np.ndarray, tile: int) -> np.ndarray:
    """Logits of a batch, shape [N, K], computed in tiles of one fixed size.

    >>> rj.evaluate.predict(net, images, tile=2)
    array([[ 0.2, -0.2], [ 0.7 , -0.7 ], [-0.4, 0.4]], dtype=float32)
    """
    program = _forward(tile)
    logits_fn = closures.as_of_now(logits_fn, images[0])
    logits: np.ndarray = mapped(program, logits_fn, images, tile=tile)
    return logits


def mapped(program: Any, model: Any, *rows: Any, tile: int) -> Any:
    """`program(model, *rows of a tile)` for all rows, NumPy arrays [N, ...].

    Args:
        program: of a batch of one fixed size.
        model: its first argument.
        rows: pytrees of arrays with a leading axis N >= 1.
        tile: the fixed size.
    """
    parts = []
    for index, real in lift.tiles(len(jax.tree.leaves(rows)[0]), tile):
        part = program(model, *jax.tree.map(lambda a: a[index], rows))  # noqa: B023
        parts.append(jax.tree.map(lambda a: np.asarray(a)[:real], part))  # noqa: B023
    return jax.tree.map(lambda *tiles: np.concatenate(tiles), *parts)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Best other logit minus the label's, [N], in float64; NaN where not finite."""
    logits = np.asarray(logits, np.float64)
    own = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    is_own = np.arange(logits.shape[1]) == labels[:, None]
    return np.where(is_own, -np.inf, logits).max(axis=1) - own


@memoised
def _forward(tile: int) -> Any:
    return compiling.compiled(jax.vmap(lambda f, x: f(x), in_axes=(None, 0)))


@own_settings()
def confirm(
    logits_fn: LogitsFn,
    threat: Threat,
    images: np.ndarray,
    x_adv: np.ndarray,
    labels: np.ndarray,
    right: np.ndarray | None = None,
    samples: int = 1,
) -> Claims:
    """Checks claimed adversarial examples of an untargeted or `Towards` goal.

    Edge cases: of a threat on parameters the answers alone are checked, for an image
    does not tell which parameters made it.

    Args:
        logits_fn: the model, on one example.
        threat: as given to the attack; fields are scalars or per example.
        images: clean inputs, shape [N, *S].
        x_adv: claimed adversarial examples, shape [N, *S].
        labels: true classes, shape [N].
        right: of a random net, how many of `samples` answers at x_adv are right, shape
            [N]; other answers than those that decided.
        samples: of each example, > 1 with `right`.
    Returns: the findings, with positions into these arrays.

    >>> x_adv = np.full_like(images, 0.5)
    >>> rj.evaluate.confirm(net, rj.threats.Linf(0.45), images, x_adv, labels).passed
    True
    """
    n = len(images)
    if n == 0:
        return NO_CLAIMS._replace(samples=samples)
    if layout.is_first(origin.of(logits_fn)):
        threat, logits_fn = (
            layout.threat_to_last(threat, images),
            layout.with_last(logits_fn),
        )
        images, x_adv = layout.to_last(images), layout.to_last(x_adv)
    eps = np.broadcast_to(np.asarray(threat.eps, np.float64), (n,))
    if isinstance(threat, ParametricThreat):
        size, box, is_outside = np.full(n, np.nan), np.zeros(n), np.zeros(n, bool)
    else:
        size = threat.measured(x_adv.astype(np.float64) - images.astype(np.float64))
        box = _beyond_the_box(threat, x_adv)
        rounding = _rounding(threat, images, x_adv, eps)
        # A pixel without a number is outside, too.
        is_inside = (size <= eps + rounding) & np.isfinite(size) & (box <= 0)
        is_outside = ~is_inside | _off_the_lattice(threat, x_adv)

    logits = predict(logits_fn, x_adv, _AUDIT_TILE)
    found, no_number = margins(logits, labels), ~np.isfinite(logits).all(axis=1)
    is_right, is_close = (found < 0) & ~no_number, np.abs(found) < _BORDER
    if right is not None:
        is_right = 2 * right > samples
        is_close = np.array([wilson(int(r), samples)[0] <= 0.5 for r in right])
    return Claims(
        n,
        np.flatnonzero(is_outside),
        np.flatnonzero(is_right),
        int((is_right & is_close).sum()),
        np.flatnonzero(no_number),
        float((size - eps).max()),
        float(max(box.max(), 0.0)),
        samples,
        size,
        np.flatnonzero(is_right & ~is_close),
    )


def _beyond_the_box(threat: Threat, x_adv: np.ndarray) -> np.ndarray:
    """How far the furthest pixel of each image is outside, [N]; at most 0 inside."""
    # The box in the type of the pixels: float32(0.1) on the face at 0.1 is inside.
    lower, upper = (np.asarray(b, x_adv.dtype) for b in (threat.lower, threat.upper))
    below = lower.astype(np.float64) - x_adv.astype(np.float64)
    above = x_adv.astype(np.float64) - upper.astype(np.float64)
    return np.maximum(below, above).reshape(len(x_adv), -1).max(axis=1)


def _rounding(
    threat: Threat, images: np.ndarray, x_adv: np.ndarray, eps: np.ndarray
) -> np.ndarray:
    """By how much float32 may make a displacement of size eps longer, [N].

    Each pixel that moved was put on the nearest float32, which is half of the step to
    the next one away at most, whatever range the box has; a sum of d squares or sizes
    errs by some sqrt(d) units of its own.
    """
    if threat.counts:
        return np.zeros(len(images))
    step = np.spacing(np.abs(x_adv).astype(np.float32)).astype(np.float64)
    pixels = threat.measured(np.where(x_adv != images, step / 2, 0))
    terms = images[0].size if threat.sums else 1
    return pixels + _UNIT * np.where(np.isinf(eps), 0, eps) * terms**0.5


def _off_the_lattice(threat: Threat, x_adv: np.ndarray) -> np.ndarray:
    """Whether a pixel of an image has a value that the lattice lacks, [N]."""
    lattice = getattr(threat, "lattice", None)
    if lattice is None:
        return np.zeros(len(x_adv), bool)
    values = boxes.on_lattice(x_adv.astype(np.float32), lattice)
    return np.asarray(~values.reshape(len(x_adv), -1).all(axis=1))
