"""One attack after another on the same example: MultiTargeted, and what it needs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Gradient
from robust_jax.attacks.skeletons import projected
from robust_jax.attacks.skeletons.common import chosen, nothing_seen, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.factories import factory
from robust_jax.core.facts import attack
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
    Towards,
    Untargeted,
)
from robust_jax.losses import objectives

GoalOf = Callable[[Goal, Array, Array], Goal]


class TurnsState(NamedTuple):
    """State of one example; `inner` is that of the turn that call `i` belongs to."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of all turns
    inner: Any  # the attack's own state, in this turn
    clean_logits: Array  # [K]
    best: Incumbent  # over all turns
    i: Array  # [] int32, over all turns
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@attack(paper="Gowal et al. 2019", norms=("linf", "l2", "l1", "l0"))
def multi_targeted(
    steps_per_target: int = 20,
    relative_step: float = 0.1,
    targets: int = 9,
    objective: objectives.Objective = objectives.margin,
    gradient: Gradient | None = None,
) -> Attack:
    """PGD towards each of the likeliest other classes in turn; any error is a success.

    Untargeted ascent climbs the class that leads at the moment and may never see that
    another one, far behind at first, could overtake the label. Each turn climbs
    target's logit minus label's from a fresh random start; targets go by their clean
    logits, largest first.
    Guarantees: those of `in_turn` and `projected_ascent`.
    Edge cases: with less than targets + 1 classes the turns go round among those there
    are (K = 2: PGD with `targets` restarts); classes that tie go by their index; a goal
    with a target keeps it, so that each turn is a restart.

    Args:
        steps_per_target: moves of each turn, >= 1.
        relative_step: step size as a multiple of eps.
        targets: turns, >= 1.
        objective: climbed with the goal `Towards(label, target)`.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if an argument is out of range.
    References: Gowal et al., "An Alternative Surrogate Loss for PGD-based Adversarial
        Testing", 2019. Differs from the authors' code (interval-bound-propagation)
        in: steepest steps, where their evaluations use Adam; classes go by their clean
        logits; the best iterate of a turn is kept rather than the last one.

    >>> rj.attacks.multi_targeted(steps_per_target=20, targets=3).steps
    63
    """
    checks.positive_integer("targets", targets)
    inner = projected.projected_ascent(
        objective,
        optim.steepest(relative_step),
        projected.at_random,
        steps=steps_per_target,
        gradient=gradient,
    )

    def goal_of(goal: Goal, clean_logits: Array, turn: Array) -> Goal:
        if not isinstance(goal, Untargeted):
            return goal
        num_classes = clean_logits.shape[0]
        is_label = jnp.arange(num_classes) == goal.label
        others = jnp.where(is_label, -jnp.inf, clean_logits)
        likeliest = jax.lax.top_k(others, num_classes - 1)[1]
        count = jnp.minimum(targets, num_classes - 1)
        return Towards(goal.label, likeliest[turn % count])

    return in_turn(inner, targets, goal_of)


@factory()
def in_turn(attack: Attack, turns: int, goal_of: GoalOf) -> Attack:
    """One fixed-budget attack again and again, each turn with its own goal and key.

    When one turn's budget is used up, the next begins with `attack.init`: a masked
    select, as no model is called. With `goal_of=lambda goal, clean_logits, turn: goal`
    these are restarts.
    Guarantees: at least as strong as every turn, turn t being `attack` with the key
    `fold_in(key, t)`; as cheap as all turns together, less the calls after a success.

    Args:
        attack: keeps its strongest point in `best`, for goals that agree on what a
            success is.
        turns: >= 1.
        goal_of: (goal, clean logits [K], turn []) -> the turn's goal, of one kind
            whatever the numbers.
    Raises: ValueError: if turns is not an integer >= 1.
    """
    checks.positive_integer("turns", turns)

    def init(
        key: Key, threat: Threat, x: Array, goal: Goal, logits: Array
    ) -> TurnsState:
        first = goal_of(goal, logits, jnp.zeros((), jnp.int32))
        return TurnsState(
            x=x,
            goal=goal,
            key=key,
            inner=attack.init(key, threat, x, first, logits),
            clean_logits=logits,
            **nothing_seen(x),
        )

    def step(logits_fn: LogitsFn, threat: Threat, state: TurnsState) -> TurnsState:
        turn, call = jnp.divmod(state.i, attack.steps)
        key = jax.random.fold_in(state.key, turn)
        goal = goal_of(state.goal, state.clean_logits, turn)
        fresh = attack.init(key, threat, state.x, goal, state.clean_logits)
        before = chosen(call == 0, fresh, state.inner)
        after = attack.step(logits_fn, threat, before)
        return state._replace(
            inner=after,
            best=incumbent.strongest(state.best, after.best),
            i=state.i + 1,
            forwards=state.forwards + after.forwards - before.forwards,
            backwards=state.backwards + after.backwards - before.backwards,
        )

    return until_won(init, step, turns * attack.steps)
