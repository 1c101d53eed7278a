"""What a plan's stages do, by what they are made of: a name decides nothing."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robust_jax import attacks
from robust_jax.core.factories import Product, as_product
from robust_jax.core.types import Attack, Goal, Towards, Untargeted
from robust_jax.evaluate.stages import Stage, untargeted
from robust_jax.losses import objectives

# Without an objective to choose: these follow differences of logits, and find the same
# where all logits are 3,000 times as large. GAMA, which climbs shares, does not.
_BY_DIFFERENCES = (
    attacks.alma,
    attacks.brendel_bethge,
    attacks.cw_l2,
    attacks.deepfool,
    attacks.fab,
    attacks.fmn,
    attacks.superdeepfool,
)
_KNOWN = {objectives.margin: True, objectives.dlr: True}
_KNOWN |= {objectives.cross_entropy: False}
_SURE = 1000.0  # Nats: at such a lead cross entropy has no slope in float32.


def stands_for(stage: Stage, attack: Attack) -> bool:
    """Whether a stage has asked at least what an attack of a check would ask.

    It is of the same factory and objective, with as many steps or more, untargeted,
    and no rule spares an example.
    """
    theirs, ours = _given(stage.attack), _given(attack)
    return (
        is_like(stage, attack)
        and theirs.get("objective") is ours.get("objective")
        and int(stage.attack.steps) >= int(attack.steps)
        and stage.goals is untargeted
        and stage.only is None
    )


def is_like(stage: Stage, attack: Attack) -> bool:
    """Whether a stage's attack is of the same factory, whatever its settings."""
    return _factory(stage.attack) is _factory(attack)


def no_scale_hides_from(stage: Stage, classes: int) -> bool:
    """Whether what a stage climbs has a slope wherever the logits have one.

    Args:
        stage: of a plan. What an attack by hand climbs is not known: False.
        classes: K.
    """
    own = {getattr(factory, "__wrapped__", factory) for factory in _BY_DIFFERENCES}
    parts = list(_parts(stage.attack))
    if any(_factory(part) in own for part in parts):
        return True
    return any(_keeps_its_slope(climbed, classes) for climbed in _climbed(parts))


def classes_needed(stage: Stage, labels: np.ndarray, logits: np.ndarray) -> int:
    """How many classes a stage's objectives need: DLR three, towards a target four."""
    if objectives.dlr not in _climbed(_parts(stage.attack)):
        return 2
    goals = stage.goals(labels, logits)
    return 3 if all(isinstance(goal, Untargeted) for goal in goals) else 4


def _parts(made: Any) -> Iterator[Product]:
    """What factories made of an attack, itself and what it was given."""
    if isinstance(made, Product):
        yield made
        for value in _given(made).values():
            yield from _parts(value)
    elif isinstance(made, tuple | list):
        for value in made:
            yield from _parts(value)


def _climbed(parts: Any) -> list[Any]:
    given = (_given(part).get("objective") for part in parts)
    return [objective for objective in given if objective is not None]


def _factory(made: Any) -> Any:
    product: Any = as_product(made)
    return product.structure.function


def _given(made: Any) -> dict[str, Any]:
    product: Any = as_product(made)
    return dict(product.structure.arguments(product.numbers).arguments)


def _keeps_its_slope(objective: Any, classes: int) -> bool:
    """Whether an objective rises with the logits even where the model is sure."""
    if objective in _KNOWN:
        return _KNOWN[objective]
    sure = jnp.arange(classes, 0, -1, jnp.float32).at[0].set(_SURE)
    zero, one = jnp.int32(0), jnp.int32(1)
    goals: tuple[Goal, ...] = (Untargeted(zero), Towards(zero, one))
    for goal in goals:
        try:
            slope = np.asarray(jax.grad(lambda z: objective(z, goal))(sure))  # noqa: B023
        except Exception:  # Whatever one of the user's raises of such a goal.
            continue
        return bool(np.isfinite(slope).all() and slope.any())
    return False
