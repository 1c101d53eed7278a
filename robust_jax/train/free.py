"""Free adversarial training: one backward pass serves the weights and the attack."""

from typing import Any

import jax
import jax.numpy as jnp

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.models import BatchMode
from robust_jax.train import helpers
from robust_jax.train.helpers import StatefulObjective, ThreatFn
from robust_jax.train.objectives import standard
from robust_jax.train.state import ApplyFn, Objective


def free_adversarial(
    apply_fn: ApplyFn,
    threat_fn: ThreatFn,
    *,
    batch_size: int,
    shape: tuple[int, ...],
    relative_step: float = 1.0,
    smoothing: float = 0.0,
    mode: BatchMode = "batch+update",
) -> StatefulObjective:
    """Mean cross entropy at x + delta; every step moves delta uphill (Free-AT).

    delta [B, *S], the memory, starts at zero, belongs to places of the batch and is
    carried from batch to batch. With x_adv = project(x + delta), the step descends the
    loss at x_adv in the weights and sets delta to project(x_adv + relative_step * eps *
    sign(g)) - x, where g is the same loss's gradient in the images. The loop gives
    every batch several times over (the authors: 4 to 10 replays), each with its step.
    Guarantees: one forward and one backward pass a step; x_adv is in the threat set.
    Edge cases: gradient entries that are not finite count as zero; no second
    derivative of this loss (its gradient in "params" is a constant).

    Args:
        apply_fn: the net.
        threat_fn: training step -> threat; other norms take their steepest step.
        batch_size: B, the same for all batches.
        shape: the shape *S of one image.
        relative_step: step size of delta as a multiple of eps, > 0.
        smoothing: share of the uniform distribution in the targets, in [0, 1).
        mode: the net's batch mode.
    Raises: ValueError: an argument out of its range; at the first step, a batch of
        another shape.
    References: Shafahi et al., "Adversarial training for free!", NeurIPS 2019, Alg. 1.
        Differs from the authors' code in: delta is cut to the box with each batch, so
        that no entry is stuck outside (there the input is clipped, and clipped pixels
        have no gradient). From Wong et al.'s version (fast_adversarial) in: a new
        batch is clipped to the box before its first pass too.

    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> threat_fn = rj.train.Ball("linf", 0.1).threat_fn()
    >>> sizes = {"batch_size": 4, "shape": (8, 8, 1)}
    >>> made = rj.train.free_adversarial(apply_fn, threat_fn, **sizes)
    >>> made.memory.shape
    (4, 8, 8, 1)
    """
    checks.positive_integer("batch_size", batch_size)
    checks.positive_number("relative_step", relative_step)
    loss_at = standard(apply_fn, smoothing=smoothing, mode=mode)

    def objective(variables, batch, key, step):
        delta, threat, x = helpers.remembered(batch), threat_fn(step), batch.images
        _check_shape(delta, x)
        project = jax.vmap(threat.project)
        x_adv = project(x + delta, x) if batch.attacked is None else batch.attacked
        x_adv = jax.lax.stop_gradient(x_adv)
        loss, aux, grad = with_image_gradient(
            loss_at, variables, batch._replace(images=x_adv), key, step
        )
        grad = jnp.where(jnp.isfinite(grad), grad, 0)
        moved = x_adv + relative_step * jax.vmap(threat.steepest)(grad, x_adv)
        return loss, aux._replace(attacked=x_adv, memory=project(moved, x) - x)

    return StatefulObjective(objective, jnp.zeros((batch_size, *shape)))


def with_image_gradient(
    objective: Objective, variables: Any, batch: Any, key: Any, step: Any
) -> tuple[Array, Any, Array]:
    """Loss, aux and the gradient in `batch.images`, of one forward and backward pass.

    Both gradients are taken here; the loss that comes back is linear in "params" with
    the gradient found, so that whoever differentiates it pays nothing again. Relying on
    the compiler to merge two backward passes would not do: what it merges is its own
    affair.
    """
    params = variables["params"]

    def loss_of(params, images):
        here = batch._replace(images=images)
        return objective({**variables, "params": params}, here, key, step)

    held = jax.lax.stop_gradient((params, batch.images))
    both = jax.value_and_grad(loss_of, (0, 1), has_aux=True)
    (loss, aux), (grads, image_grad) = both(*held)
    loss = _linear(jax.lax.stop_gradient(loss), params, jax.lax.stop_gradient(grads))
    aux = aux._replace(variables={**aux.variables, "params": params})
    return loss, aux, jax.lax.stop_gradient(image_grad)


@jax.custom_vjp
def _linear(value: Array, params: Any, grads: Any) -> Array:
    """`value`, whose gradient in `params` is `grads`."""
    return value


_linear.defvjp(
    lambda value, params, grads: (value, grads),
    lambda grads, ct: (
        jnp.zeros_like(ct),
        jax.tree.map(lambda g: (ct * g).astype(g.dtype), grads),
        jax.tree.map(jnp.zeros_like, grads),
    ),
)


def _check_shape(delta, images):
    if delta.shape != images.shape:
        raise ValueError(
            f"images.shape={images.shape}; expected {delta.shape}, batch_size and "
            "shape as given to `free_adversarial`"
        )
