"""Transformed functions of Haiku as logit functions."""

import jax
import numpy as np
import pytest

import robust_jax as rj
from robust_jax import interop, threats
from robust_jax.core import origin

hk = pytest.importorskip("haiku")
X = np.random.default_rng(0).uniform(size=(4, 6)).astype(np.float32)
LABELS = np.zeros(4, int)


def forward(x, is_training):
    x = hk.BatchNorm(True, True, 0.9)(hk.Linear(5)(x), is_training)
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.5, x)
    return hk.Linear(3)(jax.nn.relu(x))


NET = hk.transform_with_state(forward)
PARAMS, STATE = NET.init(jax.random.key(0), X, True)
STATE = jax.tree.map(lambda a: a + 0.5, STATE)


def plain(x):
    return hk.Linear(3)(x)


AVERAGED = hk.transform_with_state(
    lambda x: hk.Linear(3)(hk.BatchNorm(True, True, 0.9)(x, True))
)


def test_it_is_the_net_with_its_statistics():
    wanted, _ = NET.apply(PARAMS, STATE, None, X, False)
    one = interop.from_haiku(NET, PARAMS, STATE, is_training=False)
    model = interop.per_example(one)
    np.testing.assert_allclose(jax.vmap(model)(X), wanted, atol=1e-6)
    keyless = hk.without_apply_rng(NET)
    other = interop.from_haiku(keyless, PARAMS, STATE, is_training=False)
    np.testing.assert_allclose(other(X), wanted, atol=1e-6)
    assert str(origin.of(model)) == f"Haiku {__name__}.forward with is_training=False"
    found = rj.attack("fgsm", model, X, LABELS, threats.Linf(0.1))
    assert np.isfinite(found.margin).all()


@pytest.mark.parametrize("wrapped", [lambda f: f, hk.without_apply_rng])
def test_new_parameters_do_not_retrace(wrapped):
    traces, transformed = [], wrapped(hk.transform(plain))

    @jax.jit
    def asked(model, x):
        traces.append(1)
        return model(x)

    params = transformed.init(jax.random.key(0), X[0])
    for scale in (1, 2):
        scaled = jax.tree.map(lambda a: scale * a, params)  # noqa: B023
        model = interop.from_haiku(transformed, scaled)
        wanted = X[0] @ scaled["linear"]["w"] + scaled["linear"]["b"]
        np.testing.assert_allclose(asked(model, X[0]), wanted, atol=1e-6)
    assert len(traces) == 1


def test_what_does_not_fit_gets_one_sentence():
    with pytest.raises(
        ValueError, match="state=None with a haiku.TransformedWithState"
    ):
        interop.from_haiku(NET, PARAMS)
    with pytest.raises(ValueError, match=r"with a haiku\.Transformed; expected None"):
        interop.from_haiku(hk.transform(plain), {}, {})
    with pytest.raises(TypeError, match="transformed="):
        interop.from_haiku(plain, {})
    trained = interop.from_haiku(AVERAGED, *AVERAGED.init(jax.random.key(0), X))
    with pytest.raises(ValueError, match="the function updates its state, as statist"):
        rj.attack("fgsm", interop.per_example(trained), X, LABELS, threats.Linf(0.1))
    draws = interop.per_example(
        interop.from_haiku(NET, PARAMS, STATE, is_training=True)
    )
    with pytest.raises(ValueError, match="it draws or keeps statistics, as in trai"):
        rj.attack("fgsm", draws, X, LABELS, threats.Linf(0.1))
