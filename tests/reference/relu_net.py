"""Exact optima for ReLU nets of one hidden layer, in NumPy float64.

Logits v @ relu(w @ x + b) + c. The hyperplanes w_i @ x + b_i = 0 cut the input space
into cells, in each of which the net is affine, so that the largest margin inside a
ball and a box is attained where some of these kinks and some faces of the box meet:
alone (a vertex), or together with the ball (a facet of the L1 ball, or the point of
the sphere that is furthest along one cell's gradient). `largest_margin` lists all such
points, for every choice of faces and kinks. Each candidate that is feasible is judged
by the net itself, so that a mistake in the list can only make the optimum too small.

Every item, N of them, has its own net, point and label: many small problems at once.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_SLACK = 1e-9  # Of feasibility, for rounding.

Candidates = Iterator[tuple[np.ndarray, np.ndarray]]  # Items [M], points [M, D].


class Nets(NamedTuple):
    """Weights of N nets with D inputs, H hidden units and K classes each."""

    w: np.ndarray  # [N, H, D]
    b: np.ndarray  # [N, H]
    v: np.ndarray  # [N, K, H]
    c: np.ndarray  # [N, K]

    def of(self, item: np.ndarray) -> "Nets":
        """The nets of some items, [M] -> M nets."""
        return Nets(*(weights[item] for weights in self))


def logits(nets: Nets, x: np.ndarray) -> np.ndarray:
    """One point each: [N, D] -> [N, K]."""
    hidden = np.einsum("nhd,nd->nh", nets.w, x) + nets.b
    return np.einsum("nkh,nh->nk", nets.v, np.maximum(hidden, 0)) + nets.c


def margins(nets: Nets, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The best other logit minus the label's: x [N, D], labels [N] -> [N]."""
    z, row = logits(nets, x), np.arange(len(x))
    own = z[row, labels]
    z[row, labels] = -np.inf
    return z.max(axis=1) - own


def size(norm: str, delta: np.ndarray) -> np.ndarray:
    """The norm over the last axis."""
    return np.linalg.norm(delta, {"linf": np.inf, "l2": 2, "l1": 1}[norm], axis=-1)


def largest_margin(norm, nets, x0, labels, eps):
    """The largest margins within eps and the box [0, 1].

    Args:
        norm: "linf", "l2" or "l1".
        x0: shape [N, D], in the box.
        eps: shape [] or [N].
    Returns: shape [N].
    """
    eps = np.broadcast_to(np.asarray(eps, float), len(x0))
    best = margins(nets, x0, labels)
    for item, points in _CANDIDATES[norm](nets, x0, labels, eps):
        inside = size(norm, points - x0[item]) <= eps[item] * (1 + _SLACK)
        inside &= ((points >= -_SLACK) & (points <= 1 + _SLACK)).all(-1)
        item = item[inside]
        found = margins(nets.of(item), points[inside], labels[item])
        np.maximum.at(best, item, found)
    return best


def least_distance(norm, nets, x0, labels, tolerance=1e-6):
    """The distances to the nearest adversarial points of the box [0, 1].

    The largest margin grows with eps, continuously, so that its root is searched by
    regula falsi (Illinois), kept 1 % away from the ends of the bracket.

    Args:
        labels: the nets' own answers at x0, shape [N].
    Returns: shape [N], too large by at most the tolerance; `inf` where the whole box
        is safe.
    """
    low, high = np.zeros(len(x0)), _distance_at_random(norm, nets, x0, labels)
    below = margins(nets, x0, labels)
    above = largest_margin(norm, nets, x0, labels, high)
    reachable, side = above >= 0, np.zeros(len(x0))
    while (searched := reachable & (high - low > tolerance)).any():
        share = -below / np.where(searched, above - below, 1)
        middle = low + np.clip(share, 0.01, 0.99) * (high - low)
        found = np.full(len(x0), np.nan)
        found[searched] = largest_margin(
            norm, nets.of(searched), x0[searched], labels[searched], middle[searched]
        )
        wins, loses = found >= 0, found < 0
        below = np.where(wins & (side > 0), below / 2, np.where(loses, found, below))
        above = np.where(loses & (side < 0), above / 2, np.where(wins, found, above))
        low, high = np.where(loses, middle, low), np.where(wins, middle, high)
        side = np.where(wins, 1, -1)
    return np.where(reachable, high, np.inf)


def _distance_at_random(norm, nets, x0, labels, samples=1000):
    """To the nearest adversarial point of some, or across the box if there is none."""
    n, dims = x0.shape
    points = np.random.default_rng(0).uniform(size=(samples, dims))
    item, points = _flat(np.broadcast_to(points, (n, samples, dims)))
    wins = margins(nets.of(item), points, labels[item]) >= 0
    distance = np.where(wins, size(norm, points - x0[item]), size(norm, np.ones(dims)))
    return distance.reshape(n, samples).min(axis=1)


def _choices(nets: Nets) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """All (free coordinates, coordinates at a face, kinks), no more kinks than free."""
    hidden, dims = nets.w.shape[1:]
    for count in range(dims + 1):
        for free in itertools.combinations(range(dims), count):
            fixed = [d for d in range(dims) if d not in free]
            for kinks in range(count + 1):
                for on in itertools.combinations(range(hidden), kinks):
                    yield list(free), fixed, list(on)


def _linf_candidates(nets, x0, labels, eps) -> Candidates:
    lower, upper = np.maximum(x0 - eps[:, None], 0), np.minimum(x0 + eps[:, None], 1)
    for free, fixed, on in _choices(nets):
        if len(on) == len(free):
            yield _flat(_moved_onto(nets, _corners([lower, upper], fixed), free, on))


def _l1_candidates(nets, x0, labels, eps) -> Candidates:
    """The ball's facets end at the hyperplanes x_d = x0_d, which are faces here."""
    faces = [np.zeros_like(x0), x0, np.ones_like(x0)]
    for free, fixed, on in _choices(nets):
        corners = _corners(faces, fixed)
        if len(on) == len(free):
            yield _flat(_moved_onto(nets, corners, free, on))
        if len(on) + 1 == len(free):
            room = eps[:, None] - np.abs(corners - x0[:, None])[..., fixed].sum(-1)
            for signs in itertools.product((-1.0, 1.0), repeat=len(free)):
                level = room + (x0[:, free] @ np.array(signs))[:, None]
                yield _flat(_moved_onto(nets, corners, free, on, (signs, level)))


def _l2_candidates(nets, x0, labels, eps) -> Candidates:
    faces = [np.zeros_like(x0), np.ones_like(x0)]
    for free, fixed, on in _choices(nets):
        corners = _corners(faces, fixed)
        corners[..., free] = x0[:, None, free]
        item, nearest = _flat(_moved_onto(nets, corners, free, on))  # To x0.
        room = eps[item] ** 2 - ((nearest - x0[item]) ** 2).sum(axis=1)
        item, nearest, room = (a[room >= 0] for a in (item, nearest, room))
        yield item, nearest
        if len(on) < len(free):
            along = _unit_slopes(nets, labels, free, on)[item]
            points = nearest[:, None] + np.sqrt(room)[:, None, None] * along
            yield np.repeat(item, along.shape[1]), points.reshape(-1, x0.shape[1])


_CANDIDATES = {
    "linf": _linf_candidates,
    "l2": _l2_candidates,
    "l1": _l1_candidates,
}


def _flat(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, M, D] -> items [N * M], points [N * M, D]."""
    n, m, dims = points.shape
    return np.repeat(np.arange(n), m), points.reshape(-1, dims)


def _corners(faces, fixed):
    """The fixed coordinates at all combinations of faces, zeros else: [N, M, D]."""
    stacked = np.stack(faces)  # [F, N, D]
    choice = np.array(list(itertools.product(range(len(faces)), repeat=len(fixed))))
    corners = np.zeros((stacked.shape[1], len(choice), stacked.shape[2]))
    for column, d in enumerate(fixed):
        corners[..., d] = stacked[choice[:, column], :, d].T
    return corners


def _moved_onto(nets, corners, free, on, facet=None):
    """Moves the free coordinates, as little as can be, onto the kinks (and a facet).

    Where these are parallel there is no unique point, and this one is harmless.
    """
    rows = nets.w[:, on]
    gap = -nets.b[:, None, on] - corners @ rows.swapaxes(1, 2)
    normal = rows[..., free]
    if facet is not None:
        signs = np.broadcast_to(facet[0], (len(rows), 1, len(free)))
        level = facet[1][..., None] - corners[..., free] @ signs.swapaxes(1, 2)
        normal = np.concatenate([normal, signs], axis=1)
        gap = np.concatenate([gap, level], axis=2)
    points = corners.copy()
    points[..., free] += gap @ np.linalg.pinv(normal).swapaxes(1, 2)
    return points


def _unit_slopes(nets, labels, free, on):
    """Gradients of all margins in all cells along the kinks, [N, cells * K, D]."""
    n, hidden, dims = nets.w.shape
    others = [h for h in range(hidden) if h not in on]  # Along a kink its own is flat.
    active = np.array(list(itertools.product((0.0, 1.0), repeat=len(others))))
    leads = (nets.v - nets.v[np.arange(n), labels][:, None])[..., others]  # [N, K, ...]
    masked = leads[:, None] * active[:, None]  # [N, cells, K, others]
    slopes = masked.reshape(n, -1, len(others)) @ nets.w[:, others][..., free]
    normal = nets.w[:, on][..., free]
    slopes -= slopes @ (np.linalg.pinv(normal) @ normal).swapaxes(1, 2)
    length = np.sqrt((slopes**2).sum(-1, keepdims=True))
    along = np.zeros((*slopes.shape[:2], dims))
    along[..., free] = slopes / np.maximum(length, 1e-300)
    return along
