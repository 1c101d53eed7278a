"""How far attacks stay behind the exact optimum of small ReLU nets.

Regret is a share in [0, 1]: of the margin's possible rise within eps, what an attack
misses; of the distance that a minimum-norm attack finds, what it is too far (1 if it
finds nothing). An attack joins by one line in CASES.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import optimize

from robust_jax import attacks, threats
from robust_jax.attacks.nearest.fab import halfway_at_random
from robust_jax.core import drive, lift
from robust_jax.core.types import Attack, Untargeted
from robust_jax.losses import objectives
from tests.reference import relu_net

NETS, POINTS, DIMS, HIDDEN, CLASSES = 8, 8, 3, 6, 3
RADII = {"linf": 0.15, "l2": 0.2, "l1": 0.3}
ABOVE = 1e-5  # What float32 may see beyond the optimum.


class Case(NamedTuple):
    attack: Attack
    most_regret: dict[str, float] | None  # norm -> bound of the mean
    restarts: int = 1
    minimum_norm: bool = False


CASES = {
    "pgd": Case(
        attacks.pgd(40, 0.1, objectives.margin),
        {"linf": 0.05, "l2": 0.015, "l1": 0.015},
        restarts=4,
    ),
    "gama_pgd": Case(attacks.gama_pgd(40), {"linf": 0.05}, restarts=4),
    "odi_pgd": Case(attacks.odi_pgd(40, 0.1), {"linf": 0.055}, restarts=4),
    "apgd": Case(
        attacks.apgd(objectives.margin, 40), {"linf": 0.03, "l2": 0.015}, restarts=4
    ),
    "acg": Case(attacks.acg(steps=40), {"linf": 0.05}, restarts=4),
    "apgd_l1": Case(attacks.apgd_l1(objectives.margin, 40), {"l1": 0.1}, restarts=4),
    "square": Case(attacks.square(200), {"linf": 0.04}, restarts=4),
    "multi_targeted": Case(
        attacks.multi_targeted(40, 0.1, targets=2), {"linf": 0.045}, restarts=2
    ),
    "fab": Case(
        attacks.fab(50, start=halfway_at_random),
        {"l2": 0.12},
        restarts=2,
        minimum_norm=True,
    ),
    "ddn": Case(attacks.ddn(200), {"l2": 0.32}, minimum_norm=True),
    "deepfool": Case(
        attacks.deepfool(), {"linf": 0.19, "l2": 0.22, "l1": 0.21}, minimum_norm=True
    ),
    "superdeepfool": Case(
        attacks.superdeepfool(),
        {"linf": 0.12, "l2": 0.16, "l1": 0.155},
        minimum_norm=True,
    ),
    "fmn": Case(
        attacks.fmn(200), {"linf": 0.13, "l2": 0.13, "l1": 0.12}, minimum_norm=True
    ),
    "alma": Case(attacks.alma(200), {"l2": 0.1, "l1": 0.15}, minimum_norm=True),
    "pdpgd": Case(
        attacks.pdpgd(200), {"linf": 0.16, "l2": 0.17, "l1": 0.19}, minimum_norm=True
    ),
    "brendel_bethge": Case(
        attacks.brendel_bethge(200),
        {"linf": 0.13, "l2": 0.11, "l1": 0.145},
        minimum_norm=True,
    ),
    "minimal_apgd": Case(
        attacks.minimal_apgd(objectives.margin, 20, 15),
        {"linf": 0.075, "l2": 0.075},
        minimum_norm=True,
    ),
    "lbfgs": Case(
        attacks.lbfgs(200, objective=objectives.margin),
        {"l2": 0.12},
        minimum_norm=True,
    ),
    "cw_l2": Case(attacks.by_name("cw_l2").short(), {"l2": 0.12}, minimum_norm=True),
    "cw_linf": Case(
        attacks.cw_linf(100, first_const=0.01, slack=0.1),
        {"linf": 0.16},
        minimum_norm=True,
    ),
    "ead": Case(attacks.by_name("ead").short(), {"l1": 0.12}, minimum_norm=True),
}


def random_problem(rng, nets, points, dims):
    """Nets whose kinks cut the box, one per point, and points with their own labels."""
    w, v = (rng.normal(size=(nets, *s)) for s in ((HIDDEN, dims), (CLASSES, HIDDEN)))
    through = rng.uniform(size=(nets, HIDDEN, dims))
    c = 0.1 * rng.normal(size=(nets, CLASSES))
    many = relu_net.Nets(w, -(w * through).sum(-1), v, c)
    many = many.of(np.repeat(np.arange(nets), points))
    x = rng.uniform(size=(nets * points, dims))
    # As the attacks see them: the optimum is that of the same rounded numbers.
    many, x = jax.tree.map(lambda a: a.astype(np.float32).astype(float), (many, x))
    return many, x, relu_net.logits(many, x).argmax(axis=1)


@functools.cache
def problem():
    return random_problem(np.random.default_rng(0), NETS, POINTS, DIMS)


@functools.cache
def optimum(norm, minimum_norm):
    nets, x, labels = problem()
    if minimum_norm:
        return relu_net.least_distance(norm, nets, x, labels)
    return relu_net.largest_margin(norm, nets, x, labels, RADII[norm])


def logits(weights, x):
    w, b, v, c = weights
    return v @ jax.nn.relu(w @ x + b) + c


def regrets(case, norm):
    """Of every point, by the best of the restarts."""
    nets, x, labels = problem()
    eps = np.inf if case.minimum_norm else RADII[norm]

    def one(key, weights, x, label):
        run, threat = (
            drive.run(case.attack, to_the_end=True),
            threats.by_name(norm)(eps),
        )
        return run(key, Partial(logits, weights), threat, x, Untargeted(label))

    many = np.tile(np.arange(len(x)), case.restarts)
    result = jax.jit(jax.vmap(one))(
        lift.item_keys(0, np.arange(len(many), dtype=np.uint64)),
        *jax.tree.map(lambda a: a[many].astype(np.float32), (nets, x)),
        labels[many],
    )
    best, shape = optimum(norm, case.minimum_norm), (case.restarts, len(x))
    if case.minimum_norm:
        distance = np.where(result.margin >= 0, result.distance, np.inf)
        found = distance.reshape(shape).min(axis=0)
        assert (found >= best - ABOVE).all()  # Where the whole box is safe: inf.
        safe = np.isinf(best)
        return np.where(safe, 0, 1 - np.where(safe, 0, best) / found)
    found = np.reshape(result.margin, shape).max(axis=0)
    assert (found <= best + ABOVE).all()
    return (best - found) / (best - relu_net.margins(nets, x, labels))


def each_case():
    """Other norms than the first are in `minimum_norm_test`, `projected_test`, ..."""
    for name, case in CASES.items():
        for place, norm in enumerate(case.most_regret):
            marks = [pytest.mark.full] if place else []
            yield pytest.param(name, norm, marks=marks)


@pytest.mark.parametrize(("name", "norm"), each_case())
def test_no_attack_beats_the_optimum_and_the_mean_regret_is_small(
    name, norm, record_property
):
    case = CASES[name]
    regret = regrets(case, norm)
    record_property("mean_regret", float(regret.mean()))
    assert regret.mean() <= case.most_regret[norm]


def test_regret_tells_one_step_from_many():
    strong, weak = CASES["pgd"], Case(attacks.fgsm(objectives.margin), None)
    assert regrets(weak, "linf").mean() > 1.5 * strong.most_regret["linf"]


@pytest.mark.parametrize("norm", RADII)
def test_dense_search_of_a_plane_meets_the_optimum_and_never_beats_it(norm):
    rng = np.random.default_rng(1)
    nets, x, labels = random_problem(rng, nets=4, points=1, dims=2)
    side = np.linspace(0, 1, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    for k in range(len(x)):
        one, own = nets.of(np.full(len(grid), k)), np.full(len(grid), labels[k])
        margin, moved = (
            relu_net.margins(one, grid, own),
            relu_net.size(norm, grid - x[k]),
        )
        net, point, label = nets.of([k]), x[[k]], labels[[k]]
        # As much as the margin can change, and a distance, within one cell of the grid.
        slack = 2 * np.abs(net.v).max() * np.abs(net.w).sum() / 200

        best = relu_net.largest_margin(norm, net, point, label, RADII[norm])[0]
        found = margin[moved <= RADII[norm]].max()
        assert best - slack <= found <= best + 1e-9

        least = relu_net.least_distance(norm, net, point, label)[0]
        found = moved[margin >= 0].min(initial=np.inf)
        assert found - 4 / 200 <= least <= found + 2e-6


def test_search_at_random_never_beats_the_optimum():
    nets, x, labels = problem()
    points = np.random.default_rng(2).uniform(size=(2_000, len(x), DIMS))
    for norm, eps in RADII.items():
        best, least = optimum(norm, False), optimum(norm, True)
        for point in points:  # On the ball's surface, cut at the box; and anywhere.
            delta = point - 0.5
            size = relu_net.size(norm, delta)[:, None]
            inside = np.clip(x + eps * delta / size, 0, 1)
            assert (relu_net.margins(nets, inside, labels) <= best + 1e-9).all()
            wins = relu_net.margins(nets, point, labels) >= 0
            assert (relu_net.size(norm, point - x) > least - 2e-6)[wins].all()


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_a_mixed_integer_program_has_the_same_optimum(norm):
    nets, x, labels = problem()
    some = np.arange(0, len(x), 8)
    found = [_by_integers(norm, nets.of(k), x[k], labels[k], RADII[norm]) for k in some]
    np.testing.assert_allclose(found, optimum(norm, False)[some], atol=1e-5)


def _by_integers(norm, net, x0, label, eps):
    """Activation a and pattern s of every unit as variables: a = max(pre, 0)."""
    (hidden, dims), widest = net.w.shape, np.abs(net.w).sum() + np.abs(net.b).max()
    x, a, s, u = np.split(
        np.eye(2 * dims + 2 * hidden), np.cumsum([dims, hidden, hidden])
    )
    pre, size = net.w @ x, u if norm == "linf" else u.sum(axis=0, keepdims=True)
    upper_bounds = [  # Rows and limits of rows @ variables <= limits.
        (pre - a, -net.b),
        (a - pre + widest * s, net.b + widest),
        (a - widest * s, np.zeros(hidden)),
        (x - u, x0),
        (-x - u, -x0),
        (size, np.full(len(size), eps)),
    ]
    rows, limits = (np.concatenate(part) for part in zip(*upper_bounds, strict=True))
    return max(
        net.c[other]
        - net.c[label]
        - optimize.milp(
            -(net.v[other] - net.v[label]) @ a,
            constraints=optimize.LinearConstraint(rows, ub=limits),
            integrality=s.sum(axis=0),
            bounds=optimize.Bounds(
                0, x.sum(0) + s.sum(0) + widest * (a.sum(0) + u.sum(0))
            ),
        ).fun
        for other in range(CLASSES)
        if other != label
    )


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2), ("l1", np.inf)])
def test_optima_of_a_net_without_kinks_are_those_of_its_margin(norm, dual):
    rng = np.random.default_rng(3)
    nets, _, _ = random_problem(rng, nets=5, points=1, dims=DIMS)
    nets, x = nets._replace(b=nets.b + 100.0), np.full((5, DIMS), 0.5)
    nets = nets._replace(c=nets.c - np.einsum("nkh,nh->nk", nets.v, nets.b))
    z, slopes = relu_net.logits(nets, x), nets.v @ nets.w
    labels, row = z.argmax(axis=1), np.arange(len(x))
    leads = z - z[row, labels][:, None]
    steepness = np.linalg.norm(slopes - slopes[row, labels][:, None], dual, axis=2)
    leads[row, labels], steepness[row, labels] = -np.inf, 1.0

    largest = relu_net.largest_margin(norm, nets, x, labels, 0.01)
    expected = (leads + 0.01 * steepness).max(axis=1)
    np.testing.assert_allclose(largest, expected, atol=1e-9)
    least, nearest = relu_net.least_distance(norm, nets, x, labels), -leads / steepness
    unhindered = nearest.min(axis=1) < 0.5  # Else the box is in the way.
    assert unhindered.sum() >= 2
    np.testing.assert_allclose(
        least[unhindered], nearest.min(axis=1)[unhindered], atol=2e-6
    )
