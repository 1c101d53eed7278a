"""Modules of Equinox as logit functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robust_jax as rj
from robust_jax import interop, threats
from robust_jax.core import origin

eqx = pytest.importorskip("equinox")
X = np.random.default_rng(0).uniform(size=(4, 3, 8, 10)).astype(np.float32)


class Net(eqx.Module):
    """A convolution as Equinox has it, channels first, with statistics and dropout."""

    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    dense: eqx.nn.Linear
    scale: np.ndarray

    def __init__(self, key, classes=3):
        keys = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(3, 4, 3, key=keys[0])
        self.norm = eqx.nn.BatchNorm(4, "batch", mode="ema")
        self.dropout = eqx.nn.Dropout(0.5)
        self.dense = eqx.nn.Linear(4, classes, key=keys[1])
        self.scale = np.full((3, 1, 1), 2.0, np.float32)

    def __call__(self, x, state):
        x, state = self.norm(self.conv(x * self.scale), state)
        x = self.dropout(jax.nn.relu(x).mean((1, 2)))
        return self.dense(x), state


class Listed(eqx.Module):
    dense: eqx.nn.Linear
    widths: set


def net(seed, classes=3):
    module, state = eqx.nn.make_with_state(Net)(jax.random.key(seed), classes)
    moved = jax.random.uniform(jax.random.key(seed), (2, 4), minval=0.5)
    if seed:  # Statistics that are not those of the start.
        state = state.set(module.norm.ema_state_index, (moved[0], moved[1]))
        state = state.set(module.norm.ema_first_time_index, jnp.array(False))
    return module, state


def by_hand(module, state, x):
    mean, variance = state.get(module.norm.ema_state_index)
    x = module.conv(x * module.scale)
    norm = (x - mean[:, None, None]) / jnp.sqrt(variance + module.norm.eps)[
        :, None, None
    ]
    norm = norm * module.norm.weight[:, None, None] + module.norm.bias[:, None, None]
    return module.dense(jax.nn.relu(norm).mean((1, 2)))


def test_it_answers_in_inference_mode_and_the_module_stays():
    module, state = net(1)
    model = interop.from_equinox(module, state, layout="CHW")
    wanted = by_hand(module, state, X[0])
    np.testing.assert_allclose(model(X[0]), wanted, rtol=1e-5)
    assert not module.dropout.inference
    slope = jax.vmap(jax.grad(lambda x: model(x)[0]))(X)
    theirs = jax.vmap(jax.grad(lambda x: by_hand(module, state, x)[0]))(X)
    np.testing.assert_allclose(slope, theirs, atol=1e-6)
    assert str(origin.of(model)) == (
        f"Equinox {__name__}.Net in inference mode, channels first"
    )


def test_new_weights_do_not_retrace():
    traces = []

    @jax.jit
    def asked(model, x):
        traces.append(1)
        return model(x)

    module, state = net(1)
    scaled = jax.tree.map(lambda a: 2 * a if eqx.is_array(a) else a, module)
    one, other = (asked(interop.from_equinox(m, state), X[0]) for m in (module, scaled))
    assert len(traces) == 1 and not np.allclose(one, other)
    assert asked(interop.from_equinox(*net(1, 4)), X[0]).shape == (4,)
    assert len(traces) == 2


def test_images_come_back_in_its_layout():
    model = interop.from_equinox(*net(1), layout="CHW")
    labels = np.asarray(jax.vmap(model)(X)).argmax(1)
    threat = threats.Linf(0.1)
    found = rj.attack("fgsm", model, X, labels, threat)
    assert found.x_adv.shape == X.shape
    with pytest.raises(ValueError, match=r"pass interop\.channels_first\(model\)"):
        rj.attack("fgsm", interop.from_equinox(*net(1)), X, labels, threat)


def test_statistics_need_their_state():
    module, _ = net(0)
    with pytest.raises(ValueError, match=r"module=Net has layers that keep statistics"):
        interop.from_equinox(module)
    with pytest.raises(ValueError, match=r"module=Net has layers that keep statistics"):
        rj.attack("fgsm", module, X, np.zeros(4, int), threats.Linf(0.1))
    kept = Listed(eqx.nn.Linear(2, 3, key=jax.random.key(0)), {1})
    with pytest.raises(ValueError, match="module=Listed; expected hashable attributes"):
        interop.from_equinox(kept)
    with pytest.raises(TypeError, match="module="):
        interop.from_equinox(jnp.tanh)
