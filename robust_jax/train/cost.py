"""The cost of a training step in operations, counted in its program."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax

from robust_jax.core import flops
from robust_jax.train import loop
from robust_jax.train.state import Batch, Learner, TrainState


@dataclasses.dataclass(frozen=True)
class Cost:
    """Operations of a training step, beside those of one forward pass.

    >>> rj.train.Cost(flops=600, forward_flops=10, images=20).forwards_per_image
    3.0
    """

    flops: int  # of the whole step
    forward_flops: int  # of one image's forward pass
    images: int  # of the batch

    @property
    def flops_per_image(self) -> float:
        """Operations of a step per image of the batch."""
        return self.flops / self.images

    @property
    def forwards_per_image(self) -> float:
        """The same in forward passes of the net: 3 or a little less without attack."""
        return self.flops_per_image / self.forward_flops


def step_cost(
    learner: Learner, state: TrainState, batch: Batch, module: nn.Module
) -> Cost:
    """Counts the operations of one training step, as `core.flops.exact` does.

    With F the operations of a forward pass and f those of its first layer, a step on
    clean images costs 3 F - f: forward, the weights' gradient, and the inputs' gradient
    of all layers but the first. Each step of an attack costs 2 F, forward and input
    gradient. PGD-k training thus takes 2 k + 3 - f / F forward passes per image.
    Guarantees: nothing is computed; loops count as often as they run.
    Edge cases: what a compiler merges is counted twice, such as TRADES' clean logits of
    attack and loss; of an ensemble the most expensive source counts.

    Args:
        learner: what a step does.
        state: of the learner, arrays or `jax.ShapeDtypeStruct`.
        batch: as the loop gives, likewise.
        module: the net, of the state's variables, for the size of a forward pass.
    Raises: ValueError: a loop without a fixed number of rounds around products.

    >>> import optax
    >>> net = rj.models.by_name("mlp", hidden=())  # One layer: no gradient of inputs.
    >>> learner = rj.train.Learner(
    ...     rj.train.standard(rj.models.ApplyMode(net)), optax.sgd(0.1)
    ... )
    >>> images, labels = jnp.ones((2, 2, 2, 1)), jnp.zeros(2, int)
    >>> batch = rj.train.Batch(images, labels, jnp.arange(2))
    >>> variables = rj.models.init(net, jax.random.key(0), (2, 2, 1))
    >>> state = rj.train.new_state(learner, variables)
    >>> rj.train.step_cost(learner, state, batch, net).forwards_per_image
    2.0
    """

    def step(state: Any, batch: Batch, key: Any) -> Any:
        return loop.train_step(learner, state, batch, key)

    key = jax.eval_shape(lambda: jax.random.key(0))
    images = batch.images
    one = jax.ShapeDtypeStruct(images.shape[1:], images.dtype)
    return Cost(
        flops=flops.exact(step, state, batch, key),
        forward_flops=flops.exact(module.apply, state.variables, one),
        images=images.shape[0],
    )
