"""The catalog's attacks on one shared problem, for tests that run over all of them.

Compiling is what costs time, so these tests share the problem, and with it the compiled
programs; the tests of one attack run in one process.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core import drive, lift
from robust_jax.core.types import Reach, Towards, Untargeted
from tests import victims
from tests.attacks.small_budgets import small

RADII = {"linf": 0.05, "l2": 0.3, "l1": 1.0, "l0": 3.0, "patch": 2.0}

ENTRIES = {e.name: e for e in attacks.list() if e.targets == 1}
# The only exceptions: DLR is undefined below 3 classes, targeted DLR below 4.
LEAST_TARGETED = dict.fromkeys(("pgd_dlr", "apgd_dlr", "alma", "minimal_apgd"), 4)

N = 6
# Pairwise: rank, number of classes and kind of goal. The first is the base case.
RANKS = [
    ((4, 3, 2), 10, Untargeted),
    ((6,), 2, Towards),
    ((3, 4), 3, Reach),
    ((2, 3, 2, 2), 10, Towards),
]
ORDINARY, FLAT, NO_NUMBERS = 0.0, 1.0, 2.0  # What the model is like.


def of_attacks(cases):
    """Cases whose first is an attack's name, for one process by attack."""
    mark = pytest.mark.xdist_group
    return [pytest.param(*case, marks=mark(case[0])) for case in cases]


each_attack = pytest.mark.parametrize("name", of_attacks([(name,) for name in ENTRIES]))


def attack_of(name):
    return ENTRIES[name].make(**small(ENTRIES[name]))


def norm_of(name):
    return ENTRIES[name].norms[0]


def least_classes(name):
    return ENTRIES[name].least_classes


def counted(weights, x):
    """A net of two layers; or flat, or flat with a slope and NaN except at a point."""
    *net, point, kind = weights
    logits = victims.two_layers(net, x)
    strange = jnp.zeros_like(logits).at[0].set(1.0)
    strange = strange.at[1].add(jnp.where(kind == NO_NUMBERS, 0.1, 0.0) * x.ravel()[0])
    lost = (kind == NO_NUMBERS) & jnp.any(x != point)
    strange = jnp.where(lost, jnp.nan, strange)
    return jnp.where(kind == ORDINARY, logits, strange)


def problem(norm, shape=RANKS[0][0], num_classes=10, n=N):
    """Model, images, the model's own labels, threat."""
    net = victims.two_layer_victim(shape, num_classes).args[0]
    model = Partial(counted, (*net, jnp.zeros(shape), jnp.float32(ORDINARY)))
    images = victims.inputs(shape, n, seed=1)
    labels = victims.predicted(model, images)
    return model, images, labels, threats.by_name(norm)(RADII[norm])


def strange(kind, shape=RANKS[0][0], num_classes=10, n=N):
    """A model that is flat or has no numbers, and images; as `problem` to programs."""
    image = victims.inputs(shape, 1)[0]
    net = victims.two_layer_victim(shape, num_classes).args[0]
    model = Partial(counted, (*net, jnp.asarray(image), jnp.float32(kind)))
    return model, np.stack([image] * n)


def goal_of(kind, name, labels, num_classes):
    if kind is Untargeted or num_classes < LEAST_TARGETED.get(name, 2):
        return Untargeted(labels)
    target = (labels + 1) % num_classes
    return Reach(target) if kind is Reach else Towards(labels, target)


def exactly(threat):
    return jax.tree.map(jnp.float32, threat)  # A float's type would be weak.


def keys_for(n=N):
    return lift.item_keys(0, np.arange(n, dtype=np.uint64))


@functools.cache
def case_of(name, norm, rank=0):
    """The arguments of a driver's function."""
    shape, classes, kind = RANKS[rank]
    classes = max(classes, least_classes(name))
    model, images, labels, threat = problem(norm, shape, classes)
    goal = goal_of(kind, name, labels, classes)
    return keys_for(), model, exactly(threat), images, goal


@functools.cache
def solved(name, norm, rank=0):
    """The attack's result on the shared problem; its programs are kept."""
    return drive.hosted(attack_of(name))(*case_of(name, norm, rank))


# Where the plane can be reached by pixels of small gradient alone, a step divides the
# rounding of the margin by that gradient.
ROUNDING = {"brendel_bethge": 1e-4}


def assert_close(ours, theirs, atol=1e-5):
    """DESIGN's tolerance across drivers: 1e-5, flags equal away from the border."""
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-5)
    differ = (ours.margin >= 0) != (theirs.margin >= 0)
    assert not (differ & (np.abs(ours.margin) >= 1e-4)).any()
