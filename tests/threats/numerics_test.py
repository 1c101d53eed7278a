"""Threats where JAX is configured to be strict; nothing compiles."""

import jax
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.threats import corruptions
from tests import traces

KEY = jax.random.key(0, impl="threefry2x32")
IMAGE = np.zeros((8, 8, 3), np.float32)
FACES = [(np.float32(0), np.float32(1)), (IMAGE, IMAGE + 1)]


@pytest.mark.parametrize("name", corruptions.names())
def test_corruptions(name):
    with traces.strict():
        program, made = jax.make_jaxpr(
            lambda key, x, s: corruptions.corrupt(name, key, x, s), return_shape=True
        )(KEY, IMAGE, np.int32(3))
    assert not traces.wide(made)
    assert traces.draws(program) <= {32}


@pytest.mark.parametrize("name", ["linf", "l2", "l1", "l0", "patch"])
@pytest.mark.parametrize("faces", FACES, ids=["box", "pixels"])
def test_sets(name, faces):
    threat = threats.by_name(name)(np.float32(2.0), *faces)

    def all_of_it(key, x, x0):
        made = threat.project(x, x0), threat.sample(key, x0), threat.steepest(x, x0)
        return *made, threat.distance(x, x0)

    with traces.strict():
        program, made = jax.make_jaxpr(all_of_it, return_shape=True)(KEY, IMAGE, IMAGE)
    assert not traces.wide(made)
    assert traces.draws(program) <= {32}


@pytest.mark.parametrize("name", ["RotationTranslation", "Flow", "ColourShift"])
def test_parameters(name):
    threat = jax.tree.map(np.float32, getattr(threats, name)())
    with traces.strict():
        start = jax.eval_shape(threat.start, IMAGE)
        made = jax.eval_shape(threat.apply, IMAGE, start)
    assert not traces.wide((start, made))
