"""How invariant is a unit? Its firing under small changes of what excites it (host)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


class Firing(NamedTuple):
    """When each of D units counts as firing: sign * activity >= threshold."""

    thresholds: Values  # [D]
    signs: Values  # [D], 1 or -1
    rates: Values  # [D], G: the share of all inputs on which it fires


class Invariance(NamedTuple):
    """Of each of D units."""

    scores: Values  # [D], S = local / global; 1 / rate at most
    local: Values  # [D], L: how often it fires near what excites it
    firing: Firing


def firing(
    activities: Values, rate: float = 0.01, signs: Values | None = None
) -> Firing:
    """The thresholds at which units fire on a share of the inputs.

    Edge cases: of equal activities at the threshold all fire, so that the rate may be
    above what was asked for.

    Args:
        activities: shape [N, D].
        rate: share of inputs, in (0, 1); at least one input.
        signs: shape [D]; None is 1 everywhere.
    Raises: ValueError: a rate out of its range.
    """
    activities = np.asarray(activities)
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate}; expected a share in (0, 1)")
    signs = np.ones(activities.shape[1]) if signs is None else np.asarray(signs)
    count = max(1, round(rate * len(activities)))
    signed = activities * signs
    thresholds = np.sort(signed, axis=0)[-count]
    return Firing(thresholds, signs, (signed >= thresholds).mean(axis=0))


def invariance(
    activities: Values,
    moved: Iterable[Values],
    rate: float = 0.01,
    *,
    both_signs: bool = True,
) -> Invariance:
    """The invariance score of each unit.

    Args:
        activities: of N inputs, shape [N, D].
        moved: of the same inputs after each small change, shape [N, D] each; the
            unchanged ones count where they are given.
        rate: the global firing rate that sets the thresholds.
        both_signs: take -h for a unit h where that scores higher.
    Raises: ValueError: no change; activities of another shape.
    References: Goodfellow et al., "Measuring invariances in deep networks", NeurIPS
        2009, Sec. 3. Differs from the paper in: the inputs near which a unit is looked
        at are all those on which it fires; both signs where one is not given.
    """
    activities = np.asarray(activities)
    ones = np.ones(activities.shape[1])
    both = [firing(activities, rate, sign) for sign in (ones, -ones)[: 1 + both_signs]]
    excite = [activities * f.signs >= f.thresholds for f in both]
    hits, count = [np.zeros(len(ones)) for _ in both], 0
    for each in moved:
        each = np.asarray(each)
        if each.shape != activities.shape:
            raise ValueError(
                f"moved has shape {each.shape}; expected {activities.shape}, as the "
                "activities"
            )
        for total, f, is_top in zip(hits, both, excite, strict=True):
            total += ((each * f.signs >= f.thresholds) & is_top).sum(axis=0)
        count += 1
    if not count:
        raise ValueError("moved=[]; expected at least one change")
    local = [h / (count * e.sum(axis=0)) for h, e in zip(hits, excite, strict=True)]
    scores = [near / f.rates for near, f in zip(local, both, strict=True)]
    best = np.argmax(scores, axis=0)
    made = Firing(*(_picked(parts, best) for parts in zip(*both, strict=True)))
    return Invariance(_picked(scores, best), _picked(local, best), made)


def network_invariance(scores: Values, share: float = 0.2) -> float:
    """The mean score of the best units, a share of them; at least one.

    Raises: ValueError: a share out of (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}; expected a share in (0, 1]")
    count = max(1, round(share * len(scores)))
    return float(np.sort(scores)[-count:].mean())


def _picked(parts, best):
    return np.choose(best, parts)
