import copy
import dataclasses
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robust_jax import threats
from robust_jax.core.types import Reach, Towards, Untargeted
from robust_jax.core.values import Value

VALUES = [
    Untargeted(3),
    Reach(3),
    Towards(1, 2),
    Towards(2, 1),
    threats.Linf(0.1),
    threats.L2(0.1),
    threats.L1(0.1),
    threats.L0(0.1),
    threats.Linf(0.1, -1.0),
    threats.Patch(0.1),
    threats.Flow(0.1),
    threats.Flow(0.1, reach=2.0),
    threats.ColourShift(0.1),
    threats.RotationTranslation(0.1),
]


def test_each_is_itself_and_no_other():
    for a, b in itertools.product(VALUES, repeat=2):
        assert (a == copy.deepcopy(b)) == (a is b)
        assert (jax.tree.structure(a) == jax.tree.structure(b)) == (
            type(a) is type(b)
            and (not isinstance(a, threats.Flow) or a.reach == b.reach)
        )
    assert len(set(VALUES)) == len({hash(value) for value in VALUES}) == len(VALUES)
    assert Towards(1, 2) != (1, 2)


@pytest.mark.parametrize("value", VALUES)
def test_round_trips(value):
    again = [pickle.loads(pickle.dumps(value)), jax.tree.map(lambda leaf: leaf, value)]
    again += [type(value)(**vars(value)), value.replace(), eval(repr(value), named())]
    assert again == [value] * len(again)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.eps = value.label = 2


def named():
    return {type(value).__name__: type(value) for value in VALUES}


def test_one_program_for_each_type():
    kinds = jax.jit(lambda value: jnp.asarray(len(type(value).__name__)))
    assert [int(kinds(v)) for v in VALUES] == [len(type(v).__name__) for v in VALUES]


def test_arrays_are_compared_by_value_and_not_hashed():
    labels = Untargeted(np.arange(3))
    assert labels == Untargeted(jnp.arange(3)) != Untargeted(np.array([0, 1, 1]))
    assert labels != Untargeted(1)
    assert threats.L2(np.float32(0.5)) == threats.L2(0.5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(labels)


def test_what_is_traced_equals_itself_alone():
    def same(eps):
        ball = threats.Linf(eps)
        return [ball == threats.Linf(eps), ball == threats.Linf(eps + 0)]

    found = []
    jax.jit(lambda eps: found.extend(same(eps)))(0.1)
    assert found == [True, False]


def test_static_fields_are_no_leaves():
    class Kind(Value, static=("name",)):
        size: float
        name: str = "a"

    assert jax.tree.leaves(Kind(1.0)) == [1.0]
    assert jax.tree.structure(Kind(1.0)) != jax.tree.structure(Kind(1.0, "b"))
    assert Kind(1.0) == Kind(1.0) != Kind(1.0, "b")
