"""Radii, weights and ragged batches are data: after the first call no entry makes a
program again; a call traces the model as it is now, whatever the number of tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from robust_jax import attacks, evaluate, models, threats
from robust_jax.core import compilation, drive, lift
from robust_jax.core.types import Untargeted
from tests import victims

N, SHAPE, TILE, CLASSES = 11, (4, 4, 1), 4, 3  # Tiles of 4, 4 and 3 examples.
RADII = np.linspace(0, 0.3, 16)
IMAGES = victims.inputs(SHAPE, N)
ATTACK = attacks.bim(2, 0.5)
TRACES = []


def conv_net(weights, x):
    """One convolution and a head, logits [K]; notes each time it is asked."""
    TRACES.append(1)
    hidden = jax.nn.relu(models.conv2d(x, weights["kernel"]))
    return jnp.tensordot(weights["head"], hidden, 3)


def weights_of(seed):
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (3, 3, 1, 4), "head": (CLASSES, 4, 4, 4)}
    return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}


def by_driver(model, labels, n, radius):
    run = lift.in_tiles(drive.auto(ATTACK), tile=TILE)
    keys, threat = lift.item_keys(0, np.arange(n)), threats.Linf(float(radius))
    run(keys, model, threat, IMAGES[:n], Untargeted(labels))


def by_curve(model, labels, n, radius):
    radii = RADII if n == N else [radius]
    threat = threats.Linf(0.1)
    evaluate.curve(model, IMAGES[:n], labels, threat, radii, ATTACK, tile=TILE)


def by_robustness(model, labels, n, radius):
    plan = (evaluate.Stage("bim", ATTACK),)
    threat = threats.Linf(float(radius))
    layout = evaluate.Layout(tile=TILE)
    report = evaluate.robustness(
        model, IMAGES[:n], labels, threat, plan=plan, layout=layout, audit=False
    )
    if radius == RADII[-1]:  # Else the audit would have had nothing to trace.
        assert report.claims.n > 0


@pytest.mark.parametrize("entry", [by_driver, by_curve, by_robustness])
def test_one_program(entry):
    lowered, traces = [], set()
    for seed in range(3):
        model = Partial(conv_net, weights_of(seed))
        labels = np.argmax([np.asarray(model(x)) for x in IMAGES], axis=-1)
        for n, radii in ((N, RADII[::-1]), (5, RADII[-2:]), (1, RADII[:1])):
            for radius in radii:
                TRACES.clear()
                with compilation.recorded() as made:
                    entry(model, labels[:n], n, radius)
                lowered.append(made.so_far.lowered)
                traces.add(len(TRACES))
    assert lowered[0] > 0 and set(lowered[1:]) == {0}
    assert len(traces) == 1 and max(traces) <= 2  # Shapes are asked for by themselves.
