"""All attacks of the catalog, each through the same properties.

A new attack joins by its entry in `attacks.catalog` and, if its budget is large, a
small one in `small_budgets`. What the tests share is in `table`.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import threats
from robust_jax.core import compilation, drive, lift
from robust_jax.core.margin import margin
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks.small_budgets import PER_STEP
from tests.attacks.table import (
    ENTRIES,
    FLAT,
    NO_NUMBERS,
    RADII,
    RANKS,
    ROUNDING,
    N,
    assert_close,
    attack_of,
    case_of,
    each_attack,
    exactly,
    keys_for,
    least_classes,
    norm_of,
    of_attacks,
    problem,
    solved,
    strange,
)

# Their schedule may end before the budget does.
ENDS_EARLY = {"greedy_l0", "cw_l2", "cw_linf", "cw_l0", "ead", "superdeepfool", "jsma"}
# Their looks visit points that are not iterates.
PROBING = {"di_fgsm", "ni_fgsm", "si_ni_fgsm", "vmi_fgsm", "vni_fgsm"}
ESTIMATING = {"spsa", "nes", "bandits"}
# Of each way to make a step; the others' drivers are compared in `test-full`.
SKELETONS = {"pgd", "apgd_ce", "ddn", "square", "rays", "odi_pgd"}
# Their objective alone is not pgd's, so the other norms are left to `test-full`.
ONE_NORM = {"pgd_margin", "pgd_dlr"}

FULL = [pytest.mark.full]
CASES = [(e.name, norm) for e in ENTRIES.values() for norm in e.norms]
SHAPES = [(6,), (3, 4), (4, 3, 2), (2, 3, 2, 2)]
CLASSES = [2, 3, 10]


def _cover():
    """Each attack and norm, and each attack on another rank than the base case's."""
    for turn, entry in enumerate(ENTRIES.values()):
        yield entry.name, entry.norms[0], 0
        others = entry.norms[1:] or entry.norms
        for place, norm in enumerate(others):
            rank = 0 if norm == "patch" else 1 + (turn + place) % 3
            if place == 0 or entry.name not in ONE_NORM:
                yield entry.name, norm, rank


def _size(norm, delta):
    if norm == "patch":
        return _sides(delta)
    flat = np.abs(np.asarray(delta, np.float64)).reshape(len(delta), -1)
    return {
        "linf": flat.max(1),
        "l2": np.sqrt((flat**2).sum(1)),
        "l1": flat.sum(1),
        "l0": (flat > 0).sum(1),
    }[norm]


def _sides(delta):
    """Of the smallest squares around all that changed in [N, H, W, C]."""
    changed = np.argwhere((delta != 0).any(axis=3))
    sides = np.zeros(len(delta))
    for image, *place in changed:
        others = changed[changed[:, 0] == image, 1:]
        sides[image] = max(sides[image], 1 + (np.array(place) - others).max())
    return sides


@pytest.mark.parametrize(("name", "norm", "rank"), of_attacks(_cover()))
def test_feasible_true_to_its_margin_and_stronger_than_the_input(name, norm, rank):
    _, model, _, images, goal = case_of(name, norm, rank)
    result = solved(name, norm, rank)
    assert result.x_adv.dtype == images.dtype
    assert all(np.isfinite(field).all() for field in result)
    size = _size(norm, np.asarray(result.x_adv, np.float64) - images)
    assert (size <= RADII[norm] + 1e-6).all()
    np.testing.assert_allclose(result.distance, size, atol=1e-6)
    assert (result.x_adv >= 0).all() and (result.x_adv <= 1).all()
    margins = jax.vmap(lambda x, g: margin(model(x), g))
    np.testing.assert_allclose(result.margin, margins(result.x_adv, goal), atol=1e-5)
    before = margins(images, goal)
    assert (result.margin >= before - 1e-5).all()
    enough = 0.8 if ENTRIES[name].sees == "gradients" else 0.3
    is_near = ENTRIES[name].finds == "minimum norm"
    if is_near:  # It need not come near what it misses.
        enough = 0.5
    # Of a small budget, cw_l0's solutions change more coordinates than eps allows, and
    # what labels alone tell is still far from x.
    far = name == "cw_l0" or ENTRIES[name].sees == "labels"
    far |= isinstance(goal, Towards)  # Its objective is not its margin.
    far |= is_near and isinstance(goal, Reach)  # It misses most: eps is of any class.
    assert far or (result.margin > before + 1e-6).mean() >= enough


@each_attack
def test_costs_what_the_catalog_says(name):
    """Step by step; and in all on points that stay robust, as nothing may move."""
    attack = attack_of(name)
    forwards, backwards = PER_STEP.get(name, ENTRIES[name].per_step)
    result = solved(name, norm_of(name))
    calls = (result.forwards - 1) // forwards
    np.testing.assert_array_equal(result.forwards, 1 + forwards * calls)
    np.testing.assert_array_equal(result.backwards, backwards * calls)
    assert (calls <= attack.steps).all() and (calls >= 1).all()
    model, images, labels, threat = problem(norm_of(name))
    still = exactly(threat.replace(eps=0.0))
    spent = drive.hosted(attack)(keys_for(), model, still, images, Untargeted(labels))
    declared = 1 + attack.steps * forwards
    if name in ENDS_EARLY:
        assert (spent.forwards <= declared).all()
        assert (spent.forwards == 1 + forwards * spent.backwards / backwards).all()
        return
    if name == "square":  # It passes over proposals that change nothing.
        assert (spent.forwards < declared).all()
    else:
        assert (spent.forwards == declared).all()
    assert (spent.backwards == attack.steps * backwards).all()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            *case.values,
            marks=[*case.marks, *(() if case.values[0] in SKELETONS else FULL)],
        )
        for case in of_attacks([(name,) for name in ENTRIES])
    ],
)
def test_every_driver_gives_the_same_numbers(name):
    arguments = case_of(name, norm_of(name))
    atol = ROUNDING.get(name, 1e-5)
    traced = drive.traced(attack_of(name))(*arguments)
    assert_close(traced, solved(name, norm_of(name)), atol)
    attack = attack_of(name)
    short = attack._replace(steps=min(attack.steps, 2))  # Each costs a compilation.
    unrolled = jax.jit(lift.over_examples(drive.run_unrolled(short)))
    assert_close(unrolled(*arguments), drive.hosted(short)(*arguments), atol)


@each_attack
def test_order_subset_and_batch_size_change_no_bit(name):
    model, images, labels, threat = problem(norm_of(name))
    run = lift.in_tiles(drive.hosted(attack_of(name)), tile=N)

    def attacked(order):
        goal = Untargeted(labels[order])
        return run(keys_for()[order], model, threat, images[order], goal)

    everyone = attacked(np.arange(N))
    for order in ([3, 0, 5, 1, 2, 4], [4], [2, 2, 5, 0, 1, 3, 4, 0]):
        picked = jax.tree.map(lambda a: a[np.array(order)], everyone)  # noqa: B023
        jax.tree.map(np.testing.assert_array_equal, picked, attacked(np.array(order)))


@each_attack
def test_new_radii_weights_and_boxes_make_no_program_again(name):
    model, images, labels, threat = problem(norm_of(name))
    run, lowered = drive.hosted(attack_of(name)), []
    for k in range(4):
        weights = jax.tree.map(lambda w: w * (1 + 0.1 * k), model.args[0])  # noqa: B023
        eps = jnp.float32(threat.eps * (k + 1) / 4)
        varied = exactly(threat.replace(eps=eps, upper=1 + k))
        net, goal = Partial(model.func, weights), Untargeted(labels)
        with compilation.recorded() as made:
            run(keys_for(), net, varied, images, goal)
        lowered.append(made.so_far.lowered)
    assert lowered[1:] == [0, 0, 0]


@each_attack
def test_eps_zero_and_a_wrong_clean_input_return_the_input(name):
    model, images, labels, threat = problem(norm_of(name))
    run, threat = drive.hosted(attack_of(name)), exactly(threat)
    still = exactly(threat.replace(eps=0.0))
    result = run(keys_for(), model, still, images, Untargeted(labels))
    np.testing.assert_array_equal(result.x_adv, images)
    assert (result.distance == 0).all() and (result.margin < 0).all()
    wrong = Untargeted((labels + 1) % 10)
    result = run(keys_for(), model, threat, images, wrong)
    np.testing.assert_array_equal(result.x_adv, images)
    assert (result.margin > 0).all()
    assert (result.forwards == 1).all() and (result.backwards == 0).all()


@each_attack
def test_an_adversarial_iterate_is_never_lost(name):
    """On a model where ascent overshoots, the result is the best point evaluated."""
    more, norm = max(0, least_classes(name) - 2), norm_of(name)
    image, seen = jnp.asarray(victims.inputs((6,), 1, high=0.2)[0]), []
    nearest = ENTRIES[name].finds == "minimum norm"
    radius = {"linf": 0.1, "l2": 0.2, "l1": 0.3, "l0": 2.0, "patch": 2.0}[norm]
    threat = threats.by_name(norm)(6.0 if nearest else radius)

    def see(*point):
        seen.append(tuple(map(float, point)))

    def spied(x):
        two = victims.wavy(x, level=1.0 if nearest else 5.0)
        logits = jnp.append(two, jnp.full(more, -100.0))
        size = threat.distance(x, image)
        jax.debug.callback(see, logits[0] - logits[1], size)
        return logits

    goal = Untargeted(jnp.asarray(1))
    run_one = drive.run(attack_of(name), to_the_end=True)
    run = jax.jit(lambda key: run_one(key, spied, threat, image, goal))
    for key in keys_for(3):
        seen.clear()
        result = run(key)
        jax.effects_barrier()
        assert len(seen) >= result.forwards  # Frozen calls still ask the model.
        used = np.array(seen)[: result.forwards]
        _assert_best(name, result, used, float(threat.eps))


def _assert_best(name, result, seen, eps):
    margins = seen[seen[:, 1] <= eps + 1e-6, 0]
    if ENTRIES[name].finds == "minimum norm":
        found = seen[(seen[:, 0] >= 0) & (seen[:, 1] <= eps), 1]
        assert (result.margin >= 0) == (len(found) > 0)
        assert len(found) or ENTRIES[name].sees == "labels"
        if len(found):
            np.testing.assert_allclose(result.distance, found.min(), rtol=1e-5)
    elif name in PROBING | ESTIMATING:
        assert np.isclose(margins, result.margin, rtol=1e-5).any()
    else:
        np.testing.assert_allclose(result.margin, margins.max(), rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("rank", range(1, len(RANKS)))
@each_attack
def test_ranks_classes_and_kinds_of_goals(name, rank):
    """All of what the base cases cover by turns."""
    _, model, _, images, goal = case_of(name, norm_of(name), rank)
    result = solved(name, norm_of(name), rank)
    assert result.x_adv.shape == images.shape
    assert result.x_adv.dtype == images.dtype
    assert all(np.isfinite(field).all() for field in result)
    own = jax.vmap(lambda x, g: objectives.margin(model(x), g))
    if not isinstance(goal, Towards):  # ... whose objective is not its margin.
        assert (result.margin >= own(images, goal) - 1e-6).all()


@each_attack
def test_flat_models_and_models_without_numbers(name):
    run = drive.hosted(attack_of(name))
    threat = exactly(threats.by_name(norm_of(name))(1.0))
    goal = Untargeted(np.zeros(N, np.int32))
    model, images = strange(FLAT)
    result = run(keys_for(), model, threat, images, goal)
    assert (result.margin == -1).all() and np.isfinite(result.x_adv).all()
    model, images = strange(NO_NUMBERS)
    result = run(keys_for(), model, threat, images, goal)
    assert np.isfinite(result.x_adv).all()
    # Values without a number say nothing of a direction; nor do looks elsewhere, which
    # diverse inputs take half the time.
    enough = 0.5 if name == "di_fgsm" else 1.0
    assert (result.margin == np.inf).mean() >= enough or name in ESTIMATING


@each_attack
def test_exports_for_cpu_cuda_and_tpu(name):
    norm = norm_of(name)
    model, images, labels, threat = problem(norm)

    def run(key_data, weights, eps, images, labels):
        keys = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        bound = Partial(victims.two_layers, weights)
        one = lift.over_examples(drive.run(attack_of(name)))
        return one(keys, bound, threat.replace(eps=eps), images, Untargeted(labels))

    data, eps = jax.random.key_data(keys_for()), jnp.float32(RADII[norm])
    arguments = (data, model.args[0][:2], eps, images, labels)
    export = jax.export.export(jax.jit(run), platforms=("cpu", "cuda", "tpu"))
    exported = export(*arguments)
    text = exported.mlir_module()
    assert exported.platforms == ("cpu", "cuda", "tpu")
    for forbidden in ("f64", "callback", "tensor<?"):
        assert forbidden not in text
    if name == "pgd":
        result = jax.tree.unflatten(
            jax.tree.structure(solved(name, norm)),
            jax.tree.leaves(exported.call(*arguments)),
        )
        assert_close(result, solved(name, norm))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "norm", "shape", "num_classes"),
    [
        (*case, shape, num_classes)
        for case, shape, num_classes in itertools.product(CASES, SHAPES, CLASSES)
        if num_classes >= least_classes(case[0])
    ],
)
def test_full_product_of_shapes_and_classes(name, norm, shape, num_classes):
    model, images, labels, threat = problem(norm, shape, num_classes)
    arguments = (keys_for(), model, threat, images, Untargeted(labels))
    hosted = drive.hosted(attack_of(name))(*arguments)
    assert_close(hosted, drive.traced(attack_of(name))(*arguments))
    plain = lift.over_examples(drive.run(attack_of(name)))(*arguments)
    assert_close(hosted, plain)
    assert all(np.isfinite(field).all() for field in hosted)
