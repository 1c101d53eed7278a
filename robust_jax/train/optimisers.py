"""Optimisers of recipes: optax's, along a schedule of the learning rate."""

import jax
import optax

from robust_jax.train.recipe_parts import Descent


def optimiser(
    descent: Descent, epochs: float, steps_per_epoch: int
) -> optax.GradientTransformation:
    """The gradient transformation of a recipe.

    Guarantees: AdamW's decay is scaled by the rate; SGD's is added to the gradient, as
    PyTorch's. With `accumulate` batches per step the gradient is their mean, and the
    rate moves once per step of the optimiser.
    """
    rate = schedule(descent, epochs, steps_per_epoch / descent.accumulate)
    mask = None if descent.decay_all else _has_axes
    if descent.name == "adamw":
        update = optax.adamw(rate, weight_decay=descent.weight_decay, mask=mask)
    else:
        update = optax.chain(
            optax.add_decayed_weights(descent.weight_decay, mask),
            optax.sgd(rate, descent.momentum or None, descent.nesterov),
        )
    if descent.clip_norm:
        update = optax.chain(optax.clip_by_global_norm(descent.clip_norm), update)
    if descent.accumulate == 1:
        return update
    steps = optax.MultiSteps(update, descent.accumulate)
    return optax.GradientTransformation(steps.init, steps.update)


def schedule(descent: Descent, epochs: float, steps_per_epoch: float) -> optax.Schedule:
    """Step of the optimiser -> learning rate.

    cosine: up to the peak over the share `warm_up` of all steps, then half a cosine to
    `final_rate`. triangular: up linearly and down linearly to `final_rate`. one_cycle:
    up and down along cosines, from a 25th of the peak, as PyTorch's OneCycleLR.
    piecewise: the peak, multiplied by each of `factors` from the epoch of `drops` on.
    """
    steps = max(1, round(epochs * steps_per_epoch))
    peak, last = descent.rate, descent.rate * descent.final_rate
    rise = int(descent.warm_up * steps)
    if descent.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(last, peak, rise, steps, last)
    if descent.schedule == "triangular":
        up = optax.linear_schedule(0.0, peak, max(1, rise))
        down = optax.linear_schedule(peak, last, max(1, steps - rise))
        return optax.join_schedules([up, down], [max(1, rise)])
    if descent.schedule == "one_cycle":
        return optax.cosine_onecycle_schedule(
            steps, peak, max(descent.warm_up, 1 / steps)
        )
    drops = {
        round(epoch * steps_per_epoch): factor
        for epoch, factor in zip(descent.drops, descent.factors, strict=True)
    }
    return optax.piecewise_constant_schedule(peak, drops)


def _has_axes(params):
    return jax.tree.map(lambda a: a.ndim > 1, params)
