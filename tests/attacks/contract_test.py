"""One table of all attacks, each through the same properties. A new attack joins by
one line."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import attacks, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.losses import objectives
from tests import victims

ALL_NORMS = ("linf", "l2", "l1", "l0")
RADII = {"linf": 0.05, "l2": 0.3, "l1": 1.0, "l0": 3.0}

# name: (attack, norms)
ATTACKS = {
    "fgsm": (attacks.fgsm(), ALL_NORMS),
    "r_fgsm": (attacks.r_fgsm(), ("linf", "l2")),
    "bim": (attacks.bim(5), ALL_NORMS),
    "pgd": (attacks.pgd(5, 0.3), ALL_NORMS),
    "pgd_margin": (attacks.pgd(5, 0.3, objectives.margin), ALL_NORMS),
    "mim": (attacks.mim(5, 0.3), ALL_NORMS),
    "nesterov": (attacks.nesterov(5, 0.3), ALL_NORMS),
    "adam_pgd": (attacks.adam_pgd(5, 0.3), ALL_NORMS),
}
# What only some objectives demand: name -> the least number of classes.
LEAST_CLASSES = {"pgd_dlr": 3}
ATTACKS["pgd_dlr"] = (attacks.pgd(5, 0.3, objectives.dlr), ALL_NORMS)

CASES = [(name, norm) for name, (_, norms) in ATTACKS.items() for norm in norms]
SHAPES = [(6,), (3, 4), (4, 3, 2), (2, 3, 2, 2)]
CLASSES = [2, 3, 10]
each_case = pytest.mark.parametrize(("name", "norm"), CASES)
each_attack = pytest.mark.parametrize("name", list(ATTACKS))


def problem(norm, shape=(4, 3, 2), num_classes=10, n=5, seed=0):
    model = victims.two_layer_victim(shape, num_classes, seed)
    images = victims.inputs(shape, n, seed + 1)
    labels = victims.predicted(model, images)
    return model, images, labels, threats.by_name(norm)(RADII[norm])


def keys_for(n, seed=0):
    return lift.item_keys(seed, np.arange(n, dtype=np.uint64))


def assert_close(ours, theirs):
    """DESIGN's tolerance across drivers: 1e-5, flags equal away from the border."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    differ = (ours.margin >= 0) != (theirs.margin >= 0)
    assert not (differ & (np.abs(ours.margin) >= 1e-4)).any()


@each_case
def test_result_is_feasible_true_to_its_margin_and_no_weaker_than_the_input(name, norm):
    model, images, labels, threat = problem(norm, n=16)
    attack = ATTACKS[name][0]
    result = drive.auto(attack)(keys_for(16), model, threat, images, Untargeted(labels))
    delta = np.asarray(result.x_adv, np.float64) - images
    size = {
        "linf": np.abs(delta).max((1, 2, 3)),
        "l2": np.sqrt((delta**2).sum((1, 2, 3))),
        "l1": np.abs(delta).sum((1, 2, 3)),
        "l0": (delta != 0).sum((1, 2, 3)),
    }[norm]
    assert (size <= RADII[norm] + 1e-6).all()
    np.testing.assert_allclose(result.distance, size, atol=1e-6)
    assert (result.x_adv >= 0).all() and (result.x_adv <= 1).all()
    margins = jax.vmap(lambda x, y: objectives.margin(model(x), Untargeted(y)))
    np.testing.assert_allclose(result.margin, margins(result.x_adv, labels), atol=1e-5)
    before = margins(images, labels)
    assert (result.margin >= before).all() and (result.margin > before).mean() > 0.8
    spent = np.asarray(result.forwards)
    assert (spent <= attack.steps + 1).all() and (spent >= 2).all()
    assert (result.backwards == spent - 1).all()  # All but the clean evaluation.


@each_case
def test_every_driver_gives_the_same_numbers(name, norm):
    model, images, labels, threat = problem(norm)
    attack, goal = ATTACKS[name][0], Untargeted(labels)
    arguments = (keys_for(5), model, threat, images, goal)
    hosted = drive.hosted(attack)(*arguments)
    assert_close(hosted, drive.traced(attack)(*arguments))
    unrolled = lift.over_examples(drive.run_unrolled(attack))
    assert_close(hosted, jax.jit(unrolled)(*arguments))
    assert_close(hosted, lift.over_examples(drive.run(attack))(*arguments))


@each_attack
def test_a_batch_is_its_examples_one_by_one_and_order_does_not_matter(name):
    model, images, labels, threat = problem(ATTACKS[name][1][0])
    attack, keys = ATTACKS[name][0], keys_for(5)
    batch = drive.hosted(attack)(keys, model, threat, images, Untargeted(labels))
    for i in range(5):
        alone = jax.jit(drive.run(attack))(
            keys[i], model, threat, images[i], Untargeted(labels[i])
        )
        assert_close(
            jax.tree.map(lambda a: a[i : i + 1], batch),
            jax.tree.map(lambda a: a[None], alone),
        )
    tiled = lift.in_tiles(drive.hosted(attack), tile=4)
    order = np.array([3, 0, 4, 1, 2])
    forward = tiled(keys, model, threat, images, Untargeted(labels))
    permuted = tiled(
        keys[order], model, threat, images[order], Untargeted(labels[order])
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[order], b), forward, permuted
    )


@each_attack
def test_new_radii_weights_and_boxes_do_not_trace_again(name):
    model, images, labels, threat = problem(ATTACKS[name][1][0])
    traces = []

    def counted(weights, x):
        traces.append(1)
        return victims.two_layers(weights, x)

    run = drive.auto(ATTACKS[name][0])
    goal = Untargeted(labels)
    for k in range(4):
        weights = jax.tree.map(lambda w: w * (1 + 0.1 * k), model.args[0])  # noqa: B023
        counting = jax.tree_util.Partial(counted, weights)
        varied = threat._replace(eps=threat.eps * (k + 1) / 4, upper=1.0 + k)
        run(keys_for(5), counting, varied, images, goal)
        if k == 0:
            first = len(traces)
    assert len(traces) == first


@each_attack
def test_eps_zero_returns_the_input(name):
    model, images, labels, threat = problem(ATTACKS[name][1][0])
    result = drive.auto(ATTACKS[name][0])(
        keys_for(5), model, threat._replace(eps=0.0), images, Untargeted(labels)
    )
    np.testing.assert_array_equal(result.x_adv, images)
    assert (result.distance == 0).all()


@each_attack
def test_a_wrong_clean_input_is_its_own_adversarial_example(name):
    model, images, labels, threat = problem(ATTACKS[name][1][0])
    result = drive.auto(ATTACKS[name][0])(
        keys_for(5), model, threat, images, Untargeted((labels + 1) % 10)
    )
    np.testing.assert_array_equal(result.x_adv, images)
    assert (result.margin > 0).all()
    assert (result.forwards == 1).all() and (result.backwards == 0).all()


@each_attack
def test_an_adversarial_iterate_is_never_lost(name):
    if name in LEAST_CLASSES:
        model = lambda x: jnp.append(victims.wavy(x), -100.0)  # noqa: E731
    else:
        model = victims.wavy
    images = victims.inputs((6,), 64, high=0.2)
    norm = ATTACKS[name][1][0]
    threat, goal = threats.by_name(norm)(0.1), Untargeted(np.ones(64, np.int32))
    seen = []

    def spying(x):
        logits = model(x)
        jax.debug.callback(lambda m: seen.append(float(m)), logits[0] - logits[1])
        return logits

    # One example, no vmap: the callback sees each evaluation in turn.
    attack = ATTACKS[name][0]
    for i in range(3):
        seen.clear()
        result = drive.run(attack, to_the_end=True)(
            keys_for(64)[i],
            spying,
            threat,
            jnp.asarray(images[i]),
            jax.tree.map(lambda a: jnp.asarray(a[i]), goal),  # noqa: B023
        )
        jax.effects_barrier()
        np.testing.assert_allclose(result.margin, max(seen), rtol=1e-5)
        assert len(seen) == attack.steps + 1


@each_attack
def test_ranks_classes_and_types_of_goals(name):
    """A pairwise cover of rank x classes; every kind of goal."""
    least = LEAST_CLASSES.get(name, 2)
    for k, shape in enumerate(SHAPES):
        num_classes = max(CLASSES[k % 3], least)
        model, images, labels, threat = problem(
            ATTACKS[name][1][0], shape, num_classes, n=3
        )
        target = (labels + 1) % num_classes
        goals = [Untargeted(labels), Reach(target)]
        if name != "pgd_dlr" or num_classes >= 4:
            goals.append(Towards(labels, target))
        run = drive.auto(ATTACKS[name][0])
        for goal in goals:
            result = run(keys_for(3), model, threat, images, goal)
            assert result.x_adv.shape == images.shape
            assert result.x_adv.dtype == images.dtype
            assert all(np.isfinite(field).all() for field in result)


@each_attack
def test_flat_models_and_models_without_numbers(name):
    least = max(3, LEAST_CLASSES.get(name, 2))
    images, labels = victims.inputs((6,), 4), np.zeros(4, np.int32)
    run = drive.auto(ATTACKS[name][0])
    threat = threats.by_name(ATTACKS[name][1][0])(0.1)

    def flat(x):  # No gradient anywhere: nothing is found, nothing is NaN.
        return jnp.append(jnp.ones(1), jnp.zeros(least - 1)) + 0.0 * x.sum()

    result = run(keys_for(4), flat, threat, images, Untargeted(labels))
    assert (result.margin == -1).all() and np.isfinite(result.x_adv).all()

    def breaks(x):  # Right at the input, NaN as soon as the point moves.
        inside = jnp.max(jnp.abs(x - images[0])) == 0
        return jnp.where(inside, flat(x), jnp.nan) + jnp.sum(x - images[0])

    result = run(keys_for(1), breaks, threat, images[:1], Untargeted(labels[:1]))
    assert (result.margin >= 0).all() and np.isfinite(result.x_adv).all()


@each_attack
def test_exports_for_cpu_cuda_and_tpu(name):
    model, images, labels, threat = problem(ATTACKS[name][1][0])
    weights = model.args[0]

    def run(key_data, weights, eps, images, labels):
        keys = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        bound = jax.tree_util.Partial(victims.two_layers, weights)
        one = lift.over_examples(drive.run(ATTACKS[name][0]))
        return one(keys, bound, threat._replace(eps=eps), images, Untargeted(labels))

    arguments = (
        jax.random.key_data(keys_for(5)),
        weights,
        jnp.float32(0.1),
        images,
        labels,
    )
    exported = jax.export.export(jax.jit(run), platforms=("cpu", "cuda", "tpu"))(
        *arguments
    )
    text = exported.mlir_module()
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert "f64" not in text and "callback" not in text and "?x" not in text
    assert_close(exported.call(*arguments), jax.jit(run)(*arguments))


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "norm", "shape", "num_classes"),
    [
        (*case, shape, num_classes)
        for case, shape, num_classes in itertools.product(CASES, SHAPES, CLASSES)
        if num_classes >= LEAST_CLASSES.get(case[0], 2)
    ],
)
def test_full_product_of_shapes_and_classes(name, norm, shape, num_classes):
    model, images, labels, threat = problem(norm, shape, num_classes, n=4)
    arguments = (keys_for(4), model, threat, images, Untargeted(labels))
    hosted = drive.hosted(ATTACKS[name][0])(*arguments)
    assert_close(hosted, drive.traced(ATTACKS[name][0])(*arguments))
    assert all(np.isfinite(field).all() for field in hosted)
