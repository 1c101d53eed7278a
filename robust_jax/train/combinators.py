"""Objectives made of objectives: perturbed weights, and sums."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from robust_jax.core import checks
from robust_jax.core.types import Array
from robust_jax.train.state import Aux, Objective

_TINY = 1e-20  # AWP's code: keeps the direction of a zero gradient finite.

Move = Callable[[Any, Any, Array], Any]  # (params, gradient, step) -> displacement


def awp(
    objective: Objective, gamma: float = 5e-3, *, warm_up_steps: int = 0
) -> Objective:
    """The objective at weights that were moved against it, array by array.

    w + gamma * ||w|| * g / ||g|| for every array of two axes or more, with g the
    gradient at w of the same batch and draws; biases and scales stay. The descent is
    applied to w itself. What the attack found at w is used again at the moved weights,
    so that the cost is one more forward and backward pass.
    Edge cases: a zero gradient or zero weights move nothing.

    Args:
        objective: any, of variables with "params".
        gamma: length of the move as a share of the array's norm, > 0.
        warm_up_steps: training steps without a move at the start, >= 0.
    Raises: ValueError: an argument out of its range.
    References: Wu et al., "Adversarial weight perturbation helps robust
        generalization", NeurIPS 2020, Alg. 1. Differs from the authors' code in: no
        proxy net, its momentum and its step size, which the norm cancels.

    >>> import optax
    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> clean = rj.train.standard(apply_fn)
    >>> learner = rj.train.Learner(rj.train.awp(clean, gamma=0.01), optax.adam(1e-3))
    """
    checks.positive_number("gamma", gamma)
    if warm_up_steps < 0:
        raise ValueError(f"warm_up_steps={warm_up_steps}; expected an integer >= 0")

    def move(params, grads, step):
        size = jnp.where(step >= warm_up_steps, gamma, 0.0)

        def one(w, g):
            if w.ndim <= 1:
                return jnp.zeros_like(w)
            return size * _norm(w) * g / (_norm(g) + _TINY)

        return jax.tree.map(one, params, grads)

    return at_moved_weights(objective, move)


def sam(objective: Objective, rho: float = 0.05) -> Objective:
    """The objective at weights moved by rho along its gradient, all arrays as one.

    Args:
        objective: any, of variables with "params".
        rho: Euclidean length of the move, > 0.
    Raises: ValueError: if rho is not a finite number > 0.
    References: Foret et al., "Sharpness-aware minimization for efficiently improving
        generalization", ICLR 2021, Eq. 2 and 3 (0.05). Not compared with the
        authors' code.

    >>> import optax
    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> clean = rj.train.standard(apply_fn)
    >>> learner = rj.train.Learner(rj.train.sam(clean, rho=0.05), optax.adam(1e-3))
    """
    checks.positive_number("rho", rho)

    def move(params, grads, step):
        scale = rho / (optax.tree.norm(grads) + _TINY)
        return jax.tree.map(lambda g: scale * g, grads)

    return at_moved_weights(objective, move)


def at_moved_weights(objective: Objective, move_fn: Move) -> Objective:
    """The objective at params + move_fn(params, gradient, step).

    No gradient flows through the move. Statistics and metrics are those at the moved
    weights; the params that come back are those given.
    """

    def moved(variables, batch, key, step):
        params = variables["params"]

        def loss_of(params):
            return objective({**variables, "params": params}, batch, key, step)

        held = jax.lax.stop_gradient(params)
        grads, first = jax.grad(loss_of, has_aux=True)(held)
        shift = jax.lax.stop_gradient(move_fn(held, grads, step))
        there = {**variables, "params": jax.tree.map(jnp.add, params, shift)}
        again = batch._replace(attacked=first.attacked)
        loss, aux = objective(there, again, key, step)
        return loss, aux._replace(variables={**aux.variables, "params": params})

    return moved


def average_of(*objectives: Objective) -> Objective:
    """The mean of several objectives, such as of several threats (AVG).

    Guarantees: all get the same key; of one objective it is that objective.
    Statistics pass from one to the next. Metrics are means over those who have them.

    Args:
        objectives: at least one, each of the same batch.
    Raises: ValueError: without objectives.
    References: Tramer & Boneh, "Adversarial training and robustness for multiple
        perturbations", NeurIPS 2019, Eq. 4. Not compared with the authors' code.

    >>> import optax
    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> clean = rj.train.standard(apply_fn)
    >>> learner = rj.train.Learner(rj.train.average_of(clean, clean), optax.adam(1e-3))
    """
    if not objectives:
        raise ValueError("objectives=(); expected at least one")
    return weighted_sum(objectives, [1 / len(objectives)] * len(objectives))


def mixed(objective: Objective, clean: Objective, clean_share: float) -> Objective:
    """(1 - clean_share) * objective + clean_share * clean, as of `average_of`.

    Args:
        objective: such as `adversarial`.
        clean: such as `standard`.
        clean_share: in (0, 1).
    Raises: ValueError: a share out of its range.
    References: Goodfellow et al., ICLR 2015, Sec. 6 (0.5).

    >>> import optax
    >>> apply_fn = rj.models.ApplyMode(rj.models.by_name("mlp"))
    >>> clean = rj.train.standard(apply_fn)
    >>> mixture = rj.train.mixed(clean, clean, clean_share=0.5)
    >>> learner = rj.train.Learner(mixture, optax.adam(1e-3))
    """
    checks.share("clean_share", clean_share)
    return weighted_sum((objective, clean), (1 - clean_share, clean_share))


def weighted_sum(objectives: Any, weights: Any) -> Objective:
    """The sum of weight times objective; see `average_of`."""

    def summed(variables, batch, key, step):
        found = batch.attacked
        found = [None] * len(objectives) if found is None else found
        losses, parts = [], []
        for objective, weight, attacked in zip(objectives, weights, found, strict=True):
            mine = batch._replace(attacked=attacked)
            loss, aux = objective(variables, mine, key, step)
            variables = aux.variables
            losses.append(weight * loss)
            parts.append(aux)
            # The memory of one is given to the next; None leaves it as it is.
            batch = batch if aux.memory is None else batch._replace(memory=aux.memory)
        metrics = _means([part.metrics for part in parts])
        attacked = tuple(part.attacked for part in parts)
        total = sum(losses[1:], losses[0])
        return total, Aux(metrics, variables, attacked, batch.memory)

    return summed


def _means(metrics: list[dict[str, Array]]) -> dict[str, Array]:
    names = sorted({name for part in metrics for name in part})
    found = {name: [part[name] for part in metrics if name in part] for name in names}
    return {name: jnp.mean(jnp.stack(values)) for name, values in found.items()}


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x**2))
