"""Images made for directions, concept vectors and dictionaries, on planted cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import analysis

SHAPE = (6, 7, 1)
STILL = analysis.Search("pixel", 200, 0.1, 0)


def flat(image):
    return image.ravel()


def test_a_linear_features_image_is_its_sign():
    directions = jax.random.normal(jax.random.key(0), (3, 42))
    made = analysis.maximise(flat, directions, SHAPE, jax.random.key(1), STILL)
    assert made.shape == (3, 1, *SHAPE)
    expected = np.asarray(directions).reshape(3, 1, *SHAPE) > 0
    np.testing.assert_allclose(made, expected, atol=0.05)


@pytest.mark.parametrize("parameters", ["pixel", "fourier"])
def test_images_go_further_with_steps(parameters):
    direction = jax.random.normal(jax.random.key(0), (1, 42))

    def reached(steps):
        search = analysis.Search(parameters, steps, jitter=1)
        made = analysis.maximise(flat, direction, SHAPE, jax.random.key(1), search)
        assert made.min() >= 0 and made.max() <= 1
        return float(made.ravel() @ direction[0])

    assert reached(60) > reached(5) + 0.5


def test_even_sides_and_colours():
    search = analysis.Search(steps=2)
    made = analysis.maximise(
        flat, jnp.ones((1, 96)), (8, 4, 3), jax.random.key(0), search, copies=2
    )
    assert made.shape == (1, 2, 8, 4, 3)


def energy(image):
    return jnp.sum((image - 0.5) ** 2)[None]


def test_diversity_drives_copies_apart_and_roughness_smooths():
    def made(**options):
        search = STILL._replace(steps=100, **options)
        ones = jnp.ones((1, 1))
        key = jax.random.key(0)
        return np.asarray(
            analysis.maximise(energy, ones, SHAPE, key, search, copies=2)[0]
        )

    def alike(images):
        a, b = (images - images.mean()).reshape(2, -1)
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    def rough(images):
        return np.abs(np.diff(images, axis=1)).mean()

    assert alike(made(diversity=50.0)) < min(alike(made()), 0) - 0.2
    assert rough(made(roughness=500.0)) < 0.5 * rough(made())
    assert made(decay=1000.0).mean() < 0.2


def test_searches_that_cannot_be():
    for options, told in (
        ({"parameters": "pixels"}, "did you mean 'pixel'"),
        ({"steps": 0}, "steps=0"),
    ):
        search = analysis.Search()._replace(**options)
        with pytest.raises(ValueError, match=told):
            analysis.maximise(flat, jnp.ones((1, 42)), SHAPE, jax.random.key(0), search)


@pytest.fixture
def concepts():
    rng = np.random.default_rng(0)
    axis = np.eye(40)[2]
    pool = rng.normal(size=(400, 40))
    return rng, axis, pool, rng.normal(size=(60, 40)) + 3 * axis


def test_a_planted_concept_is_found_and_tested(concepts):
    rng, axis, pool, shown = concepts
    vector = analysis.concept_vector(shown, pool[:60])
    assert np.linalg.norm(vector) == pytest.approx(1) and vector @ axis > 0.5
    used = rng.normal(size=(200, 40)) + 3 * axis
    found = analysis.tcav(shown, pool, used, rng)
    assert found.score > 0.95 and found.p < 1e-6 and found.rank < 0.05
    assert len(found.scores) == 50 and abs(found.chance.mean() - 0.5) < 0.2
    against = analysis.tcav(shown, pool, -used, rng)
    assert against.score < 0.05


def test_a_random_concept_is_not(concepts):
    rng, axis, pool, _ = concepts
    used = rng.normal(size=(200, 40)) + 3 * axis
    likely = [
        analysis.tcav(rng.normal(size=(60, 40)), pool, used, rng, sets=20).rank
        for _ in range(8)
    ]
    assert np.median(likely) > 0.2


def test_a_concept_that_all_use_alike_is_constant(concepts):
    rng, axis, pool, shown = concepts
    found = analysis.tcav(shown, pool, np.tile(axis, (9, 1)), rng)
    assert found.score == 1.0 and 0 <= found.p < 0.05 < found.rank


def test_concepts_that_cannot_be_tested(concepts):
    rng, _, pool, shown = concepts
    with pytest.raises(ValueError, match="expected at least 120"):
        analysis.tcav(shown, pool[:100], pool, rng)
    with pytest.raises(ValueError, match="sets=1"):
        analysis.tcav(shown, pool, pool, rng, sets=1)


def superposed(count, truth, width, active, rng):
    """Features that are sums of a few of more directions than coordinates."""
    directions = rng.normal(size=(truth, width))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    code = np.zeros((count, truth))
    for row in code:
        row[rng.choice(truth, active, replace=False)] = rng.uniform(0.5, 1.5, active)
    return (code @ directions).astype(np.float32), directions


def test_directions_in_superposition_are_recovered():
    rng = np.random.default_rng(0)
    features, truth = superposed(4000, 24, 12, 2, rng)
    made = analysis.train_dictionary(features, 48, 2, jax.random.key(0), steps=1500)
    np.testing.assert_allclose(np.linalg.norm(made.atoms, axis=1), 1, atol=1e-5)
    code = np.asarray(made.code(features[:100]))
    assert (code >= 0).all() and ((code > 0).sum(1) <= 2).all()
    assert analysis.max_cosines(truth, made.atoms).mean() > 0.9
    assert analysis.max_cosines(truth, np.eye(12)).mean() < 0.8
    fit = analysis.dictionary_fit(made, features)
    assert fit.unexplained < 0.1 and 1 < fit.active <= 2 and 0 <= fit.dead < 1


def test_recovery_does_not_mind_sign_and_length():
    truth = np.array([[1.0, 0], [0, 2]])
    found = analysis.max_cosines(truth, np.array([[-3.0, 0], [1, 1]]))
    np.testing.assert_allclose(found, [1, 2**-0.5], rtol=1e-6)


def test_dictionaries_that_cannot_be():
    for size, active, told in ((0, 1, "size=0"), (2, 3, "active=3 of size=2")):
        with pytest.raises(ValueError, match=told):
            analysis.train_dictionary(np.ones((9, 2)), size, active, jax.random.key(0))
