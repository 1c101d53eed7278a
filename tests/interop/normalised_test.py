"""The way to a net's own range goes inside, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import interop
from robust_jax.core import layout, origin
from robust_jax.core.origin import Origin

X = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)


def seen(x):
    return x


def test_ranges_means_and_deviations():
    of = interop.normalised(seen, input_range=(-1, 1))
    np.testing.assert_allclose(of(X), 2 * X - 1, atol=1e-7)
    bytes_of = interop.normalised(seen, input_range=(0, 255), mean=127, std=2)
    np.testing.assert_allclose(bytes_of(X), (255 * X - 127) / 2, atol=1e-5)
    mean, std = [0.1, 0.2, 0.3], (1.0, 2.0, 4.0)
    of = interop.normalised(seen, mean=mean, std=std)
    np.testing.assert_allclose(of(X), (X - mean) / std, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(of)(X[None])[0], of(X))


def test_channels_are_where_the_model_says():
    said = Origin("a net", "CHW")
    of = interop.normalised(layout.declared(seen, said), mean=[0.1, 0.2, 0.3])
    first = X.transpose(2, 0, 1)
    np.testing.assert_allclose(of(first)[2], X[..., 2] - 0.3, atol=1e-7)
    assert origin.of(of) == said
    last = interop.channels_last(of)(jnp.asarray(X))
    np.testing.assert_allclose(last[2], X[..., 2] - 0.3, atol=1e-7)


def test_nothing_is_added_where_nothing_changes():
    model = Partial(seen)
    assert interop.normalised(model) is model


def test_new_weights_compile_nothing():
    traced = 0

    def apply(weights, x):
        nonlocal traced
        traced += 1
        return x @ weights

    asked = jax.jit(lambda model, x: model(x))
    for weights in (jnp.ones((3, 2)), jnp.zeros((3, 2))):
        of = interop.normalised(Partial(apply, weights), mean=0.5, std=[1.0, 1, 2])
        asked(of, X)
    assert traced == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_range": (1, 0)}, "input_range=.1, 0.; expected two numbers"),
        ({"input_range": 255}, "input_range=255; expected two numbers"),
        ({"std": 0}, "std=0; expected finite numbers > 0"),
        ({"std": [1.0, -1.0]}, "std=.1.0, -1.0.; expected finite numbers > 0"),
        ({"mean": "0.5"}, "mean='0.5'; expected finite numbers"),
        ({"mean": []}, "mean=..; expected finite numbers"),
        ({"mean": [np.nan]}, "mean=.nan.; expected finite numbers"),
        ({"mean": [1, 2], "std": [1, 2, 3]}, "mean has 2 numbers and std 3; expected"),
    ],
)
def test_bad_numbers_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        interop.normalised(seen, **options)


def test_another_number_of_channels_is_refused():
    of = interop.normalised(seen, mean=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match=r"have 3 numbers, but images of shape .5, 5"):
        of(np.zeros((5, 5, 1), np.float32))
