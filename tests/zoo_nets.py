"""Trains the nets of `tests.zoo` and writes tests/data/zoo_nets.npz.

    python -m tests.zoo_nets

Deterministic on one kind of machine; about two minutes of one CPU core. Prints each
net's clean accuracy on the 500 test images. Names of nets as arguments train those
only and keep the others.
"""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import datasets, models, train
from robust_jax.models.k_winners import k_winners, with_activation
from robust_jax.train import loop
from tests import zoo

_PLAIN = train.recipe("digits", {"descent.weight_decay": 0.0, "descent.rate": 3e-3})
RECIPES = {
    "mlp_decayed": _PLAIN.changed({"descent.weight_decay": 3.0}),
    "cnn_pgd": train.recipe("pgd_digits"),
    "mlp_k_winners": dataclasses.replace(_PLAIN, epochs=100),
    "cnn_k_winners": dataclasses.replace(_PLAIN, epochs=200),
    "mlp_noise": dataclasses.replace(_PLAIN, epochs=60),
    "cnn_noise": dataclasses.replace(_PLAIN, epochs=60),
}
_SIGMA = 0.25  # of the nets that are trained behind noise
_SHARES = jnp.array([0.05, 0.05, 0.2])  # of winners, one of these per batch


def noisy(apply_fn):
    """Cross entropy behind Gaussian noise."""
    standard = train.standard(apply_fn)

    def objective(variables, batch, key, step):
        noise = _SIGMA * jax.random.normal(key, batch.images.shape)
        return standard(variables, batch._replace(images=batch.images + noise), key, 0)

    return objective


def competing(apply_fn):
    """Cross entropy with k-winners-take-all in the place of ReLU."""

    def objective(variables, batch, key, step):
        share = jax.random.choice(key, _SHARES)
        activation = functools.partial(k_winners, share=share)

        def winners_fn(variables, images, mode, key=None):
            one = lambda x: apply_fn(variables, x, mode)[0]  # noqa: E731
            return jax.vmap(with_activation(one, activation))(images), variables

        return train.standard(winners_fn)(variables, batch, key, step)

    return objective


def trained(name, data):
    """The weights of one net."""
    recipe, module = RECIPES.get(name, _PLAIN), zoo.MODULES[name]
    init_key, epochs_key = jax.random.split(jax.random.key(0))
    apply_fn = models.ApplyMode(module)
    learner = recipe.learner(apply_fn, len(data), data.images.shape[1:])
    if name.endswith("_noise"):
        learner = learner._replace(objective=noisy(apply_fn))
    if name.endswith("_k_winners"):
        learner = learner._replace(objective=competing(apply_fn))
    variables = models.init(module, init_key, data.images.shape[1:])
    state = train.new_state(learner, variables)
    run = loop.auto(learner, recipe.batching(data.num_classes))
    for epoch in range(recipe.epochs):
        key = jax.random.fold_in(epochs_key, epoch)
        state, _ = run(state, train.DeviceLoader(data.on_device()), key)
    return state.variables


def main():
    """Trains all, or the nets named on the command line, and writes the file."""
    data, arrays = datasets.load("digits", "train"), {}
    if zoo.WEIGHTS.exists():
        with np.load(zoo.WEIGHTS) as stored:
            arrays = dict(stored)
    images, labels = zoo.test_digits(500)
    for name in sys.argv[1:] or zoo.MODULES:
        variables = trained(name, data)
        logits = models.logits_fn(zoo.MODULES[name], variables)(jnp.asarray(images))
        accuracy = np.mean(np.argmax(logits, axis=1) == labels)
        sys.stdout.write(f"{name}: {accuracy:.3f} with its own activation\n")
        sys.stdout.flush()
        arrays |= zoo.names({name: variables})
        np.savez_compressed(zoo.WEIGHTS, **dict(sorted(arrays.items())))


if __name__ == "__main__":
    main()
