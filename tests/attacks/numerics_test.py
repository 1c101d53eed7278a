"""All attacks of the catalog where JAX is configured to be strict; nothing compiles.

With 64-bit numbers on, an attack on float32 images is the program that it is without:
its state, its draws and what it finds have the same types. And nothing is broadcast
from one rank to another by chance.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, threats
from robust_jax.core import drive, factories, lift
from robust_jax.core.types import AttackResult, Reach, Untargeted
from robust_jax.evaluate.engine import transitions
from tests import traces, victims
from tests.attacks.small_budgets import small
from tests.attacks.table import RADII, RANKS, of_attacks

CASES = [(entry.name, norm) for entry in attacks.list() for norm in entry.norms]
SLOTS, CLASSES = 2, 10
FOUND = AttackResult("float32", "float32", "float32", "int32", "int32")


def attack_of(name):
    """Those with targets, too."""
    return attacks.by_name(name).make(**small(attacks.by_name(name)))


def _order(shape, threat, goal):
    images = np.zeros((SLOTS, *shape), np.float32)
    data, logits = np.zeros((SLOTS, 2), np.uint32), np.zeros((SLOTS, CLASSES))
    threat = lift.threat_on_host(threat, images)
    return transitions.Inputs(data, images, goal, threat, logits.astype(np.float32))


@pytest.mark.parametrize(("name", "norm"), of_attacks(CASES))
def test_with_64_bits_and_strict_ranks_it_is_the_same_program(name, norm):
    attack = factories.as_product(attack_of(name))
    turn = CASES.index((name, norm))
    shape, label = RANKS[turn % len(RANKS)][0], np.zeros(SLOTS, np.int32)
    model = victims.two_layer_victim(shape, CLASSES)
    order = _order(shape, threats.by_name(norm)(RADII[norm]), Untargeted(label))
    if turn % 2:
        order = order._replace(goal=Reach(label))
    with traces.strict():
        begun, slots = jax.make_jaxpr(transitions.fresh, return_shape=True)(
            attack, order
        )
        all_slots = np.ones(SLOTS, bool)
        step = (attack, model, slots, all_slots)
        moved, after = jax.make_jaxpr(transitions.stepped, return_shape=True)(*step)
        take = (attack, slots, slots, all_slots, label)
        look = jax.eval_shape(transitions.exchanged, *take)[1]
    assert not traces.wide(slots)
    assert slots == after
    assert AttackResult(*(leaf.dtype.name for leaf in look.result)) == FOUND
    assert traces.draws(begun) | traces.draws(moved) <= {32}


# Their steps compute with the logits' type, or branch.
@pytest.mark.parametrize("name", ["pgd", "fmn", "pdpgd", "cw_l2", "hop_skip_jump"])
@pytest.mark.parametrize(
    ("of_net", "of_images"),
    [("float64", "float32"), ("float64", "float64"), ("float16", "float16")],
)
def test_what_is_found_has_the_type_of_the_images(name, of_net, of_images):
    attack = attack_of(name)
    threat = threats.by_name(attacks.by_name(name).norms[0])(0.5)
    keys, label = lift.item_keys(0, np.arange(SLOTS)), np.zeros(SLOTS, np.int32)
    net = Partial(victims.two_layers, (np.zeros((16, 24)), np.zeros((CLASSES, 16))))

    def run(net, x):
        net = jax.tree.map(lambda a: a.astype(of_net), net)
        one = lift.over_examples(drive.run(attack))
        return one(keys, net, threat, x, Untargeted(label))

    with jax.enable_x64(True):
        x = jax.ShapeDtypeStruct((SLOTS, 4, 3, 2), jnp.dtype(of_images))
        found = jax.eval_shape(run, net, x)
    assert found.x_adv.dtype.name == of_images
    assert (found.margin.dtype, found.forwards.dtype) == (x.dtype, jnp.int32)
