"""Five steps on all devices: `... OUT [PROCESSES PROCESS PORT]`.

Writes the state's leaves, and what each step was given: the order of its examples and
its key. A process alone also writes those of methods that keep a memory, and with
several devices prints what a step costs.
"""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import datasets, models, train
from robust_jax.models import catalog
from robust_jax.train import devices, loop


class Tiny(models.Classifier):
    """The least net with a convolution, batch statistics and dropout."""

    @nn.compact
    def __call__(self, x, train=False, mode="eval"):
        x = models.Conv(8, (3, 3), strides=2, use_bias=False)(self.normalise(x))
        x = nn.relu(models.BatchNorm()(x, mode))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x.reshape(*x.shape[:-3], -1))


catalog.NETWORKS["tiny"] = Tiny
RECIPE = train.recipe(
    "pgd_digits",
    {
        "model": "tiny",
        "attack.steps": 2,
        "attack.mode": "batch",
        "data.batch_size": 16,
        "descent.name": "sgd",
        "descent.momentum": 0.0,  # Its sums would be larger than one.
        "descent.rate": 1e-2,
        "weights.ema": (0.9,),
    },
)
STEPS = 5
_SMALL = {"model": "mlp", "model_config.hidden": "[16]", "data.batch_size": 32}
MINDFUL = {
    "free": train.recipe("free_digits", _SMALL),
    "pool": train.recipe("pool_digits", _SMALL | {"attack.steps": 1}),
}


def told(objective):
    """The objective, with what it was given among its metrics."""

    def telling(variables, batch, key, step):
        loss, aux = objective(variables, batch, key, step)
        places = jnp.arange(1, batch.positions.shape[0] + 1)
        metrics = {
            "order": jnp.sum(batch.positions * places**3),  # Integers: exact.
            "key": jax.random.key_data(key),
        }
        return loss, aux._replace(metrics={**aux.metrics, **metrics})

    return telling


def main():
    if len(sys.argv) > 2:
        processes, process, port = map(int, sys.argv[2:])
        address = f"127.0.0.1:{port}"
        jax.distributed.initialize(
            address,
            processes,
            process,
            coordinator_bind_address=address,
            initialization_timeout=60,
        )
    data = datasets.load("digits", "train").take(np.arange(320))
    mesh = devices.data_mesh()
    setup = train.set_up(RECIPE, data, mesh=mesh)
    learner = setup.learner._replace(objective=told(setup.learner.objective))
    run = loop.hosted(learner, setup.batching, mesh=mesh)
    key = jax.random.fold_in(setup.epochs_key, 0)
    at = loop.StepRange(0, STEPS)
    state, metrics = run(setup.fresh().state, setup.loader, key, at)
    found = {f"step_{name}": values for name, values in metrics.items()}
    found |= leaves("main", state)
    if len(sys.argv) == 2:
        found |= mindful(data, mesh, key)
    if jax.process_index() == 0:
        np.savez(sys.argv[1], **found)
    if len(sys.argv) == 2 and jax.device_count() > 1:
        print_costs()
    if len(sys.argv) > 2:
        jax.distributed.shutdown()


def mindful(data, mesh, key):
    """The states after an epoch as one program, and after one streamed."""
    free = train.set_up(MINDFUL["free"], data, mesh=mesh)
    run = loop.traced(free.learner, free.batching, mesh=mesh)
    state, _ = run(free.fresh().state, free.loader, key)
    pool = train.set_up(MINDFUL["pool"], data, mesh=mesh, on_host=True)
    streamed, _ = pool.run(pool.fresh().state, pool.loader, key)
    return leaves("free", state) | leaves("streamed", streamed)


def leaves(name, state):
    named = enumerate(jax.tree.leaves(devices.local_copy(state)))
    return {f"{name}_{i}": leaf for i, leaf in named}


def compiled(count):
    """The program of a step of PGD training on the first devices."""
    recipe = RECIPE.changed({"data.batch_size": 256})
    data = datasets.load("digits", "train").take(np.arange(256))
    mesh = devices.data_mesh(jax.devices()[:count])
    setup = train.set_up(recipe, data, mesh=mesh)

    def step(state, loader, positions, key):
        batch = devices.constrain_sharded(
            setup.batching.batch(loader, positions, key), mesh
        )
        return loop.train_step(setup.learner, state, batch, key)

    positions = devices.replicate(np.arange(recipe.data.batch_size), mesh)
    given = setup.fresh().state, setup.loader, positions, jax.random.key(0)
    return jax.jit(step).lower(*given).compile()


def print_costs():
    """Operations per device of one and all (loops once), and all-gathers of all."""
    one, every = compiled(1), compiled(jax.device_count())
    gathers = every.as_text().count(" all-gather")
    flops = [program.cost_analysis()["flops"] for program in (one, every)]
    sys.stdout.write(f"{flops[0]} {flops[1]} {gathers}\n")


if __name__ == "__main__":
    main()
