"""Turning images, and the fields of threats that are for images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import interop, threats
from robust_jax.core import layout, origin
from robust_jax.core.origin import Origin

B, C, H, W = 2, 3, 4, 5
X = np.arange(B * C * H * W, dtype=np.float32).reshape(B, C, H, W)


@pytest.mark.parametrize("numpy", [np, jnp])
def test_images_there_and_back(numpy):
    x = numpy.asarray(X)
    last = layout.to_last(x)
    np.testing.assert_array_equal(last, X.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(layout.to_first(last), X)
    np.testing.assert_array_equal(layout.to_last(x[0], 0), X[0].transpose(1, 2, 0))
    frames = X[:, None]  # [T, C, H, W] each.
    np.testing.assert_array_equal(layout.to_last(frames)[:, 0], last)


def test_what_is_no_image_stays():
    for value in (X[0, 0], None, {"a": X}, 1.0):
        assert layout.to_last(value) is value


FIELDS = {  # As they broadcast to [B, C, H, W].
    "a number": 0.5,
    "a column": X[0, 0, 0],
    "a plane": X[0, 0],
    "colours": X[0, :, :1, :1],
    "an image": X[0],
    "images": X,
    "of an image": X[:1],
    "an array": jnp.asarray(X[0]),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_broadcast_to_the_same_pixels(name):
    threat = threats.Linf(np.ones(B), lower=FIELDS[name], mask=FIELDS[name])
    turned = layout.threat_to_last(threat, X)
    wanted = np.broadcast_to(FIELDS[name], X.shape).transpose(0, 2, 3, 1)
    for field in (turned.lower, turned.mask):
        np.testing.assert_array_equal(np.broadcast_to(field, wanted.shape), wanted)
    assert turned.eps is threat.eps and turned.upper is threat.upper


def test_parameters_have_no_layout():
    threat = threats.Flow(0.1)
    assert layout.threat_to_last(threat, X) is threat
    flat = threats.Linf(0.1, lower=X[0, 0])
    assert layout.threat_to_last(flat, X[:, 0, 0]) is flat


def summed(weights, x, *key):
    return weights * jnp.stack([x[0].sum(), x[:, 0].sum(), sum(key, 0.0)])


def test_a_model_is_turned_whatever_its_form():
    model = interop.channels_first(Partial(summed, 2.0))
    last = layout.with_last(model)
    assert origin.of(model).layout == "CHW" and origin.of(last).layout == "HWC"
    x = X.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(last(x[0]), model(X[0]))
    np.testing.assert_array_equal(last(x[0], 7.0), model(X[0], 7.0))
    back = layout.with_first(last)
    np.testing.assert_array_equal(back(X[0]), model(X[0]))
    batch = layout.with_last(interop.channels_first(jax.vmap(Partial(summed, 2.0))))
    np.testing.assert_array_equal(batch(x), jax.vmap(model)(X))


def test_what_is_said_traces_nothing_again():
    traces = []

    @jax.jit
    def asked(model, x):
        traces.append(1)
        return model(x)

    for weights, source in ((1.0, "a"), (2.0, "a")):
        said = Origin(source, "CHW", origin.Parity(4, weights * 1e-6, 4))
        model = layout.declared(Partial(summed, jnp.float32(weights)), said)
        asked(layout.with_last(model), X[0].transpose(1, 2, 0))
    assert len(traces) == 1


def test_a_layout_is_one_of_two():
    with pytest.raises(ValueError, match="layout='NCHW'; expected 'HWC', 'CHW', or N"):
        interop.from_nnx(nnx_linear(), layout="NCHW")


def nnx_linear():
    from flax import nnx

    return nnx.Linear(2, 3, rngs=nnx.Rngs(0))
