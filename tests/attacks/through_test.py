"""Attacks on parameters, and on patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.attacks.ascent.stadv import roughness
from robust_jax.core import drive, lift
from robust_jax.core.types import Untargeted
from robust_jax.losses import objectives
from tests import victims
from tests.attacks import programs
from tests.attacks.programs import to_the_end

SHAPE, N = (8, 8, 1), 5
SPATIAL = threats.RotationTranslation(rotation=40.0, translation=2.0)


def keys(n=N):
    return lift.item_keys(0, np.arange(n, dtype=np.uint64))


def problem(scale=1.0):
    model = victims.two_layer_victim(SHAPE, 4, scale=scale)
    images = victims.inputs(SHAPE, N)
    return model, images, victims.predicted(model, images)


def margins(model, images, labels):
    one = jax.vmap(lambda x, y: objectives.margin(model(x), Untargeted(y)))
    return np.asarray(one(images, labels))


def run(attack, threat):
    model, images, labels = problem()
    return to_the_end(attack)(keys(), model, threat, images, Untargeted(labels))


@pytest.mark.parametrize(
    "attack",
    [attacks.pgd(8, 0.3), attacks.apgd(steps=8), attacks.worst_of(12)],
    ids=["pgd", "apgd", "worst_of"],
)
@pytest.mark.parametrize(
    "threat", [SPATIAL, threats.Flow(), threats.ColourShift()], ids=lambda t: t.name
)
def test_any_attack_runs_on_parameters(attack, threat):
    model, images, labels = problem()
    result = run(attacks.through(attack), threat)
    found = margins(model, result.x_adv, labels)
    np.testing.assert_allclose(result.margin, found, atol=1e-5)
    assert (found >= margins(model, images, labels)).all()
    assert (found > margins(model, images, labels) + 1e-3).mean() >= 0.8
    assert (result.distance <= 1).all() and (result.distance > 0).any()


@pytest.mark.parametrize(
    "threat", [SPATIAL, threats.Flow(), threats.ColourShift()], ids=lambda t: t.name
)
def test_attacks_on_pixels_are_refused(threat):
    """Any image is within one of parameters, where those are taken for pixels."""
    model, images, labels = problem()
    for entry in attacks.list():
        run_many = lift.over_examples(drive.run(entry.make()))
        given = keys(), images, Untargeted(labels)
        with pytest.raises(
            (ValueError, TypeError), match="^threat.*=.*(expected|through)"
        ):
            jax.eval_shape(
                lambda k, x, g, f=run_many: f(k, model, threat, x, g), *given
            )


def test_the_host_drives_it_to_the_same_numbers():
    model, images, labels = problem()
    attack = attacks.through(attacks.apgd(steps=4))
    hosted = drive.hosted(attack, to_the_end=True)
    result = hosted(keys(), model, SPATIAL, images, Untargeted(labels))
    np.testing.assert_allclose(result.margin, run(attack, SPATIAL).margin, atol=1e-5)


def test_no_share_of_the_limits_leaves_the_image():
    _, images, _ = problem()
    result = run(attacks.through(attacks.pgd(3)), SPATIAL.replace(eps=0.0))
    np.testing.assert_array_equal(result.x_adv, images)


def test_a_grid_finds_the_worst_of_its_points():
    model, images, labels = problem()
    result = run(attacks.through(attacks.grid((3, 3, 1))), SPATIAL)
    table = [(a, b, 0.0) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    turned = jax.vmap(SPATIAL.apply, in_axes=(0, None))
    every = [margins(model, turned(images, jnp.array(z)), labels) for z in table]
    np.testing.assert_allclose(result.margin, np.max(every, axis=0), atol=1e-5)
    assert (result.forwards == 1 + 9).all()


def test_more_samples_are_no_weaker():
    few, many = (
        run(attacks.through(attacks.worst_of(k)), SPATIAL).margin for k in (3, 30)
    )
    assert (many >= few).all() and (many > few).any()


def test_worst_of_works_on_balls():
    result = run(attacks.worst_of(20), threats.Linf(0.1))
    assert (result.distance <= 0.1 + 1e-6).all() and (result.forwards == 21).all()


def test_stadv_flows_smoothly():
    """With a larger weight the flow is less rough."""
    model, images, labels = problem()
    rough = []
    for weight in (0.0, 0.5):
        attack = attacks.stadv(15, 0.1, weight)
        threat, goal = threats.Flow(), Untargeted(labels[0])
        state = programs.init(attack, keys()[0], threat, images[0], goal)
        for _ in range(16):
            state = programs.step(attack, model, threat, state)
        rough.append(float(roughness(state.inner.iterate)))
    assert rough[1] < 0.7 * rough[0]


def test_roughness_of_a_step_and_of_a_shift():
    flow = jnp.zeros((4, 3, 2)).at[2:].set(jnp.array([3.0, 4.0]))
    assert float(roughness(flow)) == pytest.approx(3 * 5.0)
    assert float(roughness(jnp.ones((4, 3, 2)))) == 0.0
    assert jnp.isfinite(jax.grad(roughness)(jnp.ones((4, 3, 2)))).all()


def patched(attack):
    """Of an affine model's patches: what was gained, the best of each place, places."""
    weights = victims.affine_victim(SHAPE, 2).args[0]
    model = Partial(victims.affine, weights, -weights @ jnp.full(64, 0.5))
    images = victims.inputs(SHAPE, N, low=0.3, high=0.7)
    labels = victims.predicted(model, images)
    threat = threats.Patch(3.0)
    result = to_the_end(attack)(keys(), model, threat, images, Untargeted(labels))
    assert (result.distance <= 3).all()
    normal = np.where(labels[:, None] == 0, weights[1] - weights[0], 0)
    normal = normal + np.where(labels[:, None] == 1, weights[0] - weights[1], 0)
    flat = images.reshape(N, -1)
    gains = np.abs(normal) * np.where(normal > 0, 1 - flat, flat)
    windows = np.lib.stride_tricks.sliding_window_view(
        gains.reshape(N, 8, 8), (3, 3), axis=(1, 2)
    )
    gained = np.asarray(result.margin) - margins(model, images, labels)
    changed = np.asarray(result.x_adv != images)[..., 0]
    places = [np.argwhere(c).min(axis=0) for c in changed]
    return gained, windows.sum((3, 4)), places


def test_whole_gradient_steps_find_the_best_patch():
    """Smaller ones would not outweigh the square that is there."""
    gained, best, _ = patched(attacks.bim(3, 1.0))
    np.testing.assert_allclose(gained, best.max((1, 2)), rtol=1e-4)


def test_sparse_rs_paints_the_best_patch_of_its_place():
    gained, best, places = patched(attacks.sparse_rs_patch(1_500))
    own = [b[tuple(place)] for b, place in zip(best, places, strict=True)]
    np.testing.assert_allclose(gained, own, rtol=1e-4)
    assert (gained > best.mean((1, 2))).all()


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: attacks.worst_of(0), "queries=0"),
        (lambda: attacks.grid((3, 0)), "counts=0"),
        (lambda: attacks.stadv(smoothness=-1.0), "smoothness=-1"),
        (lambda: attacks.sparse_rs_patch(9, 0.0), "initial_share=0"),
        (lambda: run(attacks.through(attacks.grid((3, 3))), SPATIAL), "one count for"),
        (
            lambda: run(attacks.sparse_rs_patch(9), threats.L2(1.0)),
            "expected threats.Patch",
        ),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, part):
    with pytest.raises(ValueError, match=part):
        call()
