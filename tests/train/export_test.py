"""A training step of every recipe exports for all platforms; nothing is computed."""

import jax
import jax.numpy as jnp
import pytest

from robust_jax import models, train
from robust_jax.models import functional
from robust_jax.train import loop

SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
PLATFORMS = ("cpu", "cuda", "tpu")
# Each part of these is in a step of the others: attack, norm, method and averages.
OTHER_NUMBERS = {
    "collapsing_digits",
    "fgsm_rs_digits",
    "mnist",
    "pgd_l2_digits",
    "pgd_large_digits",
    "trades_awp_digits",
    "trades_l2_digits",
    "trades_mnist",
    "watched_digits",
}


def is_full(name):
    """Deep nets are traced for long."""
    return "cifar10" in name or name in OTHER_NUMBERS


NAMES = [
    pytest.param(name, marks=pytest.mark.full if is_full(name) else ())
    for name in train.RECIPES
]


def no_classes(x):
    """A teacher."""
    return jnp.zeros((*x.shape[:-3], 10)) + jnp.sum(x)


def abstract_batch(recipe, shape):
    b = recipe.data.batch_size
    array = jax.ShapeDtypeStruct
    labels = array((b,), jnp.int32)
    targets = array((b, 10), jnp.float32) if recipe.data.mixture else None
    return train.Batch(array((b, *shape), jnp.float32), labels, labels, targets)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_exports(name):
    recipe = train.recipe(name)
    shape = SHAPES[recipe.dataset]
    config = {"num_classes": 10} | dict(recipe.model_config)
    module = models.by_name(recipe.model, **config)
    teachers = tuple(no_classes for _ in recipe.teachers)
    apply_fn = models.ApplyMode(module)
    learner = recipe.learner(apply_fn, 1000, shape, teachers=teachers)
    variables = functional.abstract_variables(module, shape)
    state = jax.eval_shape(lambda v: train.new_state(learner, v), variables)
    key = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    arguments = (state, abstract_batch(recipe, shape), key)
    structure = jax.tree.structure(arguments)

    def flat(*leaves):  # An exported function takes arrays, not our own types.
        state, batch, key_data = jax.tree.unflatten(structure, leaves)
        key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        return jax.tree.leaves(loop.train_step(learner, state, batch, key))

    exported = jax.export.export(jax.jit(flat), platforms=PLATFORMS)(
        *jax.tree.leaves(arguments)
    )
    assert exported.platforms == PLATFORMS
    text = exported.mlir_module()
    for forbidden in ("f64", "callback", "tensor<?"):
        assert forbidden not in text
    assert ("convolution" in text) == ("fc100" not in name)
