"""Threats on parameters, and what they make of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from robust_jax import threats
from robust_jax.threats import warps

THREATS = [threats.RotationTranslation(), threats.Flow(), threats.ColourShift()]
SHAPES = [(6, 5), (6, 5, 2), (2, 6, 5, 3)]


def image(shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize("threat", THREATS, ids=lambda t: t.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_without_parameters_an_image_stays_bit_by_bit(threat, shape):
    x = image(shape)
    np.testing.assert_array_equal(threat.apply(x, threat.start(x)), x)


@pytest.mark.parametrize("threat", THREATS, ids=lambda t: t.name)
def test_parameters_keep_to_their_set(threat):
    x = image((6, 5, 2))
    z0, half = threat.start(x), threat.replace(eps=0.5)
    keys = jax.random.split(jax.random.key(0), 50)
    drawn = jax.jit(jax.vmap(lambda k: half.sample(k, z0)))(keys)
    assert jnp.abs(drawn).max() <= 0.5 and jnp.abs(drawn).max() > 0.4
    sizes = jax.vmap(lambda z: half.distance(z, z0))(drawn)
    assert (sizes <= 0.5).all()
    far = half.project(z0 + 3, z0)
    assert (far == 0.5).all()
    made = jax.jit(jax.vmap(lambda z: threat.apply(x, z)))(drawn)
    assert made.shape == (50, 6, 5, 2) and made.min() >= 0 and made.max() <= 1


def test_turns_are_those_of_scipy():
    x = image((7, 7, 1))
    for degrees in (-30.0, 12.0, 90.0):
        expected = ndimage.rotate(x[..., 0], degrees, reshape=False, order=1)
        found = warps.turned(x, jnp.float32(degrees), jnp.zeros(()), jnp.zeros(()))
        np.testing.assert_allclose(
            found[1:-1, 1:-1, 0], expected[1:-1, 1:-1], atol=1e-4
        )


def test_shifts_move_down_and_to_the_right():
    x = image((6, 5, 1))
    threat = threats.RotationTranslation(translation=2.0)
    moved = threat.apply(x, jnp.array([0.0, 1.0, -0.5]))
    np.testing.assert_allclose(moved[2:, :-1], x[:-2, 1:], atol=1e-6)
    assert (moved[:2] == 0).all() and (moved[:, -1] == 0).all()


def test_a_flow_takes_each_pixel_from_elsewhere():
    x = image((6, 5, 1))
    threat = threats.Flow(reach=2.0)
    z = threat.start(x).at[2, 1].set(jnp.array([0.5, 1.0]))
    expected = x.copy()
    expected[2, 1] = x[3, 3]
    np.testing.assert_allclose(threat.apply(x, z), expected, atol=1e-6)


def test_colours_shift_by_channel():
    x = image((6, 5, 2))
    threat = threats.ColourShift(offset=0.1, gain=0.5)
    z = jnp.array([[1.0, 0.0], [0.0, -1.0]])
    found = threat.apply(x, z)
    np.testing.assert_allclose(found[..., 0], np.minimum(x[..., 0] + 0.1, 1), atol=1e-6)
    np.testing.assert_allclose(found[..., 1], 0.5 * x[..., 1], atol=1e-6)


@pytest.mark.parametrize("threat", THREATS, ids=lambda t: t.name)
def test_images_follow_parameters_smoothly(threat):
    """The gradient with respect to the parameters is that of finite differences."""
    x = ndimage.gaussian_filter(image((12, 12)), 2).astype(np.float32)
    weights = image((12, 12), 1)
    z = 0.3 * jax.random.normal(jax.random.key(2), threat.start(x).shape)

    @jax.jit
    def value(z):
        return jnp.sum(weights * threat.apply(x, z))

    grad, step = jax.grad(value)(z), jax.random.normal(jax.random.key(3), z.shape)
    width = 1e-3  # Bilinear images have kinks.
    slope = (value(z + width * step) - value(z - width * step)) / (2 * width)
    assert float(jnp.sum(grad * step)) == pytest.approx(
        float(slope), rel=0.05, abs=0.02
    )
