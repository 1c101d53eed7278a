"""Minimum-norm attacks beside closed forms and the boundary itself.

They keep the nearest adversarial point; on an affine model in a box the least
distance to each boundary has a closed form.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.gradients import estimator
from robust_jax.attacks.nearest.jsma import singles
from robust_jax.attacks.skeletons.minimum_norm import first_state, unit_or_random
from robust_jax.core import lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks.programs import to_the_end
from tests.reference import nearest_boundary

SIZE, CLASSES, N = 20, 4, 12
CASES = {
    # Cross entropy points between several boundaries, not at the nearest one.
    "ddn": (attacks.ddn(200, objective=objectives.margin), ("l2",)),
    "deepfool": (attacks.deepfool(overshoot=1e-3), ("linf", "l2", "l1")),
    "superdeepfool": (attacks.superdeepfool(), ("linf", "l2", "l1")),
    "cw_l2": (
        attacks.cw_l2(9, 500, step_size=0.02, first_const=1.0, slack=0.1),
        ("l2",),
    ),
    "cw_linf": (
        attacks.cw_linf(
            60, 0.002, first_const=0.01, least_bound=1e-3, decrease=0.98, slack=0.1
        ),
        ("linf",),
    ),
    "cw_l0": (attacks.cw_l0(4_000, 100, 0.05, first_const=0.1, slack=0.1), ("l0",)),
    "ead": (
        attacks.ead(9, 500, 0.001, first_const=1.0, beta=0.01, abort_early=False),
        ("l1",),
    ),
    "fmn": (attacks.fmn(200), ("linf", "l2", "l1", "l0")),
    "alma": (attacks.alma(500), ("l2", "l1")),
    "pdpgd": (attacks.pdpgd(500), ("linf", "l2", "l1", "l0")),
    "brendel_bethge": (attacks.brendel_bethge(300), ("linf", "l2", "l1")),
    "greedy_l0": (attacks.greedy_l0(), ("l0",)),
    "sigma_zero": (attacks.sigma_zero(300), ("l0",)),
    "sparsefool": (attacks.sparsefool(past=1.0), ("l0",)),
    "jsma": (attacks.jsma(100, (1.0, -1.0), singles), ("l0",)),
    "minimal_apgd": (attacks.minimal_apgd(objectives.margin, 30), ("linf", "l2")),
    "lbfgs": (attacks.lbfgs(200, objective=objectives.margin), ("l2",)),
}
# What the method itself leaves, more than 1 %, as the authors' code does on these
# problems: iterates of PDPGD swing about a saddle point (and their counts in L0 are
# small numbers), and ALMA goes to the second nearest of two boundaries once.
WIDER = {
    ("pdpgd", "linf"): 0.015,
    ("pdpgd", "l2"): 0.045,
    ("pdpgd", "l1"): 0.07,
    ("pdpgd", "l0"): 1.0,
    ("alma", "l2"): 0.13,
    # Its radius has fallen before it has slid along the boundary to the end, once.
    ("brendel_bethge", "l1"): 0.06,
    # It weighs all other classes alike, not the label alone, and knows no faces.
    ("jsma", "l0"): 1.0,
}
MEDIAN = {"jsma": 2.0}  # Of distance over optimum, if not what the width says.
# What else is allowed, in the norm's unit, and why.
ATOL = {
    "cw_l2": 1e-4,  # Its steps keep their length, with which it overshoots.
    "ead": 2e-4,  # Likewise.
    "cw_linf": 1e-3,  # Its least bound: below, it does not search.
    "sparsefool": 2,  # The plane is L2's nearest; the steepest go first, to any face.
    "cw_l0": 1,  # It drops one coordinate after the other and never takes one back.
}
EACH = pytest.mark.parametrize(
    ("name", "norm"),
    [(name, norm) for name, (_, norms) in CASES.items() for norm in norms],
)


def affine_problem():
    """Images with a third of their coordinates on faces of the box.

    They are some way from the boundary: an attack's last step is to be short beside it.
    """
    model = victims.affine_victim((SIZE,), CLASSES)
    images = np.clip(victims.inputs((SIZE,), 80, seed=5, low=-0.3, high=1.3), 0, 1)
    bias = -np.asarray(jax.vmap(model)(images)).mean(0)  # All classes are near.
    model = Partial(victims.affine, model.args[0], jnp.asarray(bias))
    labels = victims.predicted(model, images)
    far = np.flatnonzero(least_distances("l2", model, images, labels) > 0.1)[:N]
    return model, images[far], labels[far]


def least_distances(norm, model, images, labels):
    weights, bias = (np.asarray(a, np.float64) for a in model.args)
    pairs = zip(images.astype(np.float64), labels, strict=True)
    return np.array(
        [nearest_boundary.distance(norm, weights, bias, *pair) for pair in pairs]
    )


def nearest(attack, threat, model, images, labels):
    run = to_the_end(attack)
    keys = lift.item_keys(0, np.arange(len(images), dtype=np.uint64))
    threat = jax.tree.map(jnp.float32, threat)
    return run(keys, model, threat, images, Untargeted(labels))


@EACH
def test_within_one_percent_of_the_boundary_of_an_affine_model(name, norm):
    model, images, labels = affine_problem()
    assert ((images == 0) | (images == 1)).mean() > 0.3
    threat = threats.by_name(norm)(np.inf)
    found = nearest(CASES[name][0], threat, model, images, labels)
    optimum = least_distances(norm, model, images, labels)
    assert (found.margin >= 0).all()
    assert (found.distance >= optimum - 1e-5).all()
    most = WIDER.get((name, norm), 0.01)
    apart = ATOL.get(name, 0)
    np.testing.assert_allclose(found.distance, optimum, rtol=most, atol=apart)
    median = np.median(found.distance / optimum)
    assert median <= MEDIAN.get(name, 1 + min(most, 0.04))


def test_rounds_halve_between_failure_and_the_distance_of_a_success():
    """Which may be less than its radius; each round draws by a key of its own."""
    attack = attacks.minimise_radius(attacks.bim(2, 0.5, objectives.margin), 4, 0.3)
    model = Partial(lambda x: jnp.stack([0.62, x[0]]))  # From 0.5, 0.12 away.
    threat, goal = threats.Linf(np.inf), Untargeted(0)
    image = jnp.array([0.5])
    state = attack.init(jax.random.key(0), threat, image, goal, model(image))
    step, radii, keys = jax.jit(attack.step), {}, {}
    while not attack.done(threat, state._replace(best=state.clean)):
        radii[int(state.round)] = float(state.radius)
        keys[int(state.round)] = tuple(np.asarray(jax.random.key_data(state.inner.key)))
        state = step(model, threat, state)
    # A success at 0.15 by half of 0.3, then two failures, then a success.
    expected = [0.3, 0.075, 0.1125, 0.13125]
    np.testing.assert_allclose(list(radii.values()), expected, rtol=1e-5)
    assert len(set(keys.values())) == 4


def test_fmns_radius_is_that_of_the_nearest_success_at_most():
    """Whatever its own, which a late success may leave far too large."""
    model, images, labels = affine_problem()
    threat, attack = threats.L2(np.inf), attacks.fmn(10)
    far = images + 2 * least_distances("l2", model, images, labels)[:, None]

    @jax.jit
    @jax.vmap
    def step(image, iterate, label):
        state = attack.init(
            jax.random.key(0), threat, image, Untargeted(label), jnp.zeros(2)
        )
        state = state._replace(iterate=iterate, own=jnp.float32(50))
        return attack.step(model, threat, state)

    state = step(images, far.astype(np.float32), labels)
    won = np.asarray(state.best.margin >= 0)
    assert won.any()
    ahead = np.linalg.norm(state.iterate - images, axis=-1)
    assert (ahead <= state.best.distance * (1 + 1e-5))[won].all()


# Distances over the least ones on these problems, to three digits, that pdpgd of
# adversarial-library 0.2.8 (PyTorch, num_steps=500, otherwise its defaults) finds.
PDPGD_BY_AUTHORS = {
    "linf": "1.002 1.006 1.006 1.009 1.002 1.004 1.003 1.001 1.002 1.001 1.012 1.006",
    "l2": "1.017 1.035 1.017 1.008 1.021 1.03 1.012 1.015 1.021 1.04 1.031 1.006",
    "l1": "1.004 1.035 1.018 1.041 1.032 1.034 1.04 1.051 1.032 1.066 1.028 1.049",
}


@pytest.mark.parametrize("norm", PDPGD_BY_AUTHORS)
def test_pdpgd_goes_where_its_reference_goes(norm):
    model, images, labels = affine_problem()
    threat = threats.by_name(norm)(np.inf)
    found = nearest(CASES["pdpgd"][0], threat, model, images, labels)
    expected = np.array(PDPGD_BY_AUTHORS[norm].split(), float)
    share = found.distance / least_distances(norm, model, images, labels)
    np.testing.assert_allclose(share, expected, atol=2e-3)


def test_the_least_radius_is_between_success_and_failure():
    """Bisection over one-step attacks, whose success at each radius can be asked."""
    model, images, labels = affine_problem()
    threat, once = threats.Linf(np.inf), attacks.fgsm(objectives.margin)
    found = nearest(attacks.minimise_radius(once, 14), threat, model, images, labels)
    distance = np.asarray(found.distance)
    for factor, wins in ((1.01, True), (0.99, False)):
        at_this = threats.Linf(jnp.asarray(factor * distance))
        result = nearest(once, at_this, model, images, labels)
        assert ((result.margin >= 0) == wins).all()
    capped = nearest(
        attacks.minimise_radius(once, 14),
        threats.Linf(float(np.median(distance)) * 1.02), model, images, labels,
    )  # fmt: skip
    near = distance <= np.median(distance)
    assert ((capped.margin >= 0) == near).mean() > 0.9
    np.testing.assert_allclose(capped.distance[near], distance[near], rtol=0.01)


def test_a_way_out_at_random_shares_no_draw_with_the_gradient():
    """An estimator is given the step's key, and splits it for its samples."""
    x = jnp.full(SIZE, 0.5)
    goal = Untargeted(jnp.int32(0))
    state = first_state(estimator.exact(), x, (), jax.random.key(0), x, goal)
    way_out = unit_or_random(state, jnp.zeros(SIZE))
    assert jnp.linalg.norm(way_out) == pytest.approx(1)
    step_key = jax.random.fold_in(state.key, state.i)
    for key in (step_key, *jax.random.split(step_key), *jax.random.split(step_key, 1)):
        drawn = jax.random.normal(key, (SIZE,))
        assert abs(way_out @ drawn / jnp.linalg.norm(drawn)) < 0.9
