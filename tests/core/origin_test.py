import dataclasses

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from robust_jax import interop
from robust_jax.core import origin
from robust_jax.core.origin import Origin, Parity


@dataclasses.dataclass(frozen=True)
class Told:
    origin: Origin

    def __call__(self, weights, x):
        return x @ weights


def net(parity=None, weights=2.0):
    told = Told(Origin("torch a.Net", "CHW", parity))
    return Partial(told, weights * jnp.ones((3, 2)))


def test_it_is_found_through_wrappers():
    assert origin.of(net()) == Origin("torch a.Net", "CHW")
    assert origin.of(interop.per_example(net())).layout == "CHW"
    assert origin.of(lambda x: x) is None


def test_parity_makes_no_other_program():
    traced = 0

    @jax.jit
    def asked(model, x):
        nonlocal traced
        traced += 1
        return model(x)

    close = Parity(64, 1e-6, 64, 1e-5)
    x = jnp.ones(3)
    assert asked(net(close), x)[0] == 6
    assert asked(net(Parity(64, 2e-6, 64), weights=3.0), x)[0] == 9
    assert traced == 1


def test_what_is_close_and_how_it_is_said():
    assert Parity(64, 9e-5, 64).is_close and not Parity(64, 2e-4, 64).is_close
    said = str(Parity(64, 9e-5, 63, 2e-6))
    assert said == (
        "logits differ by 9.0e-05 of the largest, gradients 2.0e-06, the same class "
        "on 63 of 64 images"
    )
