"""One-gradient attacks: one skeleton, with a start, an objective and a step rule.

FGSM, R-FGSM, BIM, PGD, MIM, Nesterov and Adam-PGD are choices of the three.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from robust_jax import optim
from robust_jax.attacks.gradients.estimator import Climb, Gradient, Scene, exact
from robust_jax.attacks.skeletons.common import judging, until_won
from robust_jax.core import checks, incumbent
from robust_jax.core.factories import factory
from robust_jax.core.margin import verdict
from robust_jax.core.narrow import signs
from robust_jax.core.types import (
    Array,
    Attack,
    Goal,
    Incumbent,
    Key,
    LogitsFn,
    Threat,
)
from robust_jax.losses import objectives

Start = Callable[[Key, Threat, Array], Array]

NOISE = 2**31 - 1  # The name of the draws that do not belong to the start.
_MADRY_STEP = 1 / 30  # Madry et al. (2018), Sec. 5: 0.01 at eps 0.3 on MNIST.


class ProjectedState(NamedTuple):
    """State of one example; `iterate` is what the next call evaluates."""

    x: Array  # [*S]
    goal: Goal
    key: Key  # of the draws of a randomised gradient
    iterate: Array  # [*S], feasible
    rule: Any  # the optax state of the step rule
    memory: Any  # of the gradient's estimator
    clean_logits: Array | None  # [K] if the objective asks for them
    best: Incumbent
    i: Array  # [] int32
    forwards: Array  # [] int32
    backwards: Array  # [] int32


@factory()
def projected_ascent(
    objective: objectives.Objective,
    rule: optim.Rule,
    start: Start,
    *,
    steps: int,
    gradient: Gradient | None = None,
) -> Attack:
    """Climbs an objective inside the threat set by projected steps of a rule.

    Call i evaluates iterate i and moves on, so that `steps` moves need `steps + 1`
    calls; the last one judges the last iterate.
    Guarantees: every iterate is feasible; an adversarial iterate is never lost; at
    least as strong as the clean input; deterministic in key; dtype kept.
    Edge cases: eps = 0 stays at x; a zero gradient moves nothing (momentum goes on);
    gradient entries that are not finite count as zero; non-finite logits at an
    iterate count as success.

    Args:
        objective: (logits [K], goal) -> [], the quantity to climb.
        rule: threat -> optax.GradientTransformation, see `optim.rules`.
        start: (key, threat, x) -> the first iterate, shape [*S], feasible.
        steps: moves, >= 1.
        gradient: the estimator of the gradient; `gradients.exact()` by default.
    Raises: ValueError: if steps is not an integer >= 1.
    """

    def climb_of(state: ProjectedState) -> Climb:
        return lambda logits: objective(logits, state.goal)

    return ascent(climb_of, rule, start, steps=steps, gradient=gradient)


@factory()
def ascent(
    climb_of: Callable[[ProjectedState], Climb],
    rule: optim.Rule,
    start: Start,
    *,
    steps: int,
    gradient: Gradient | None = None,
    with_clean_logits: bool = False,
) -> Attack:
    """As `projected_ascent`, for an objective that changes on the way.

    Args:
        climb_of: state -> (logits [K] -> []), what to climb at iterate `state.i`.
        rule, start, steps, gradient: as in `projected_ascent`.
        with_clean_logits: `climb_of` reads `state.clean_logits`, shape [K].
    Raises: ValueError: if steps is not an integer >= 1.
    """
    checks.positive_integer("steps", steps)
    estimator = exact() if gradient is None else gradient

    def init(key: Key, threat: Threat, x: Array, goal: Goal) -> ProjectedState:
        chex.assert_rank(list(goal), 0)  # One example; vmap makes many.
        zero = jnp.zeros((), jnp.int32)
        return ProjectedState(
            x=x,
            goal=goal,
            key=jax.random.fold_in(key, NOISE),
            iterate=start(key, threat, x),
            rule=rule(threat).init(x),
            memory=estimator.init(x),
            clean_logits=jnp.zeros(0) if with_clean_logits else None,
            best=incumbent.nothing_yet(x),
            i=zero,
            forwards=zero,
            backwards=zero,
        )

    def step(
        logits_fn: LogitsFn, threat: Threat, state: ProjectedState
    ) -> ProjectedState:
        key, x = jax.random.fold_in(state.key, state.i), state.iterate
        climb = climb_of(state)
        scene = Scene(key, logits_fn, threat, climb, x)
        look, memory = estimator.look(scene, state.memory)
        score = verdict(look.logits, state.goal)
        here = Incumbent(x, score, threat.distance(x, state.x))
        descent = jax.tree.map(jnp.negative, look.grad)  # Optax descends.
        update, rule_state = rule(threat).update(descent, state.rule, x)
        ahead = jax.tree.map(jnp.add, x, update)
        return state._replace(
            iterate=threat.project(ahead, state.x),
            rule=rule_state,
            memory=memory,
            best=incumbent.strongest(state.best, here),
            i=state.i + 1,
            forwards=state.forwards + estimator.forwards,
            backwards=state.backwards + estimator.backwards,
        )

    return until_won(init, step, steps + 1, judging(estimator))


def at_the_input(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from the clean input."""
    return x


def at_random(key: Key, threat: Threat, x: Array) -> Array:
    """Starts from a random point of the threat set (`threat.sample`)."""
    return threat.sample(key, x)


@factory()
def at_random_signs(relative_start: float) -> Start:
    """Starts from x + relative_start * eps * sign(gaussian), projected.

    Raises: ValueError: if relative_start is not a finite number > 0.
    """
    checks.positive_number("relative_start", relative_start)

    def start(key: Key, threat: Threat, x: Array) -> Array:
        towards = signs(key, x.shape, x.dtype)
        return threat.project(x + relative_start * threat.eps * towards, x)

    return start


@factory()
def fgsm(
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """One full step from the clean input.

    References: Goodfellow et al., "Explaining and Harnessing Adversarial Examples",
        ICLR 2015, Sec. 4. Differs in: other norms take their steepest step.
    """
    return projected_ascent(
        objective, optim.steepest(1.0), at_the_input, steps=1, gradient=gradient
    )


@factory()
def r_fgsm(
    relative_start: float = 0.5,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """A random sign step, then one gradient step over the rest of eps.

    Args:
        relative_start: share of eps that the random step takes, in (0, 1).
        objective: the quantity to climb.
    Raises: ValueError: if relative_start is outside (0, 1).
    References: Tramer et al., "Ensemble Adversarial Training", ICLR 2018, Sec. 3.3
        (alpha = eps / 2).
    """
    checks.holds(
        "relative_start", relative_start, lambda v: 0 < v < 1, "a share in (0, 1)"
    )
    return projected_ascent(
        objective,
        optim.steepest(1.0 - relative_start),
        at_random_signs(relative_start),
        steps=1,
        gradient=gradient,
    )


@factory()
def bim(
    steps: int = 10,
    relative_step: float = 0.2,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Projected ascent from the clean input, also known as I-FGSM.

    References: Kurakin et al., "Adversarial Examples in the Physical World", 2017,
        Sec. 2.2. Differs in: steps and step size are given, rather than one grey level
        and min(eps + 4, 1.25 eps) steps of it.
    """
    return projected_ascent(
        objective,
        optim.steepest(relative_step),
        at_the_input,
        steps=steps,
        gradient=gradient,
    )


@factory()
def pgd(
    steps: int = 40,
    relative_step: float = _MADRY_STEP,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Projected gradient ascent from a random start.

    Args:
        steps: moves, >= 1.
        relative_step: step size as a multiple of eps.
        objective: cross entropy (Madry et al.), margin (Carlini & Wagner's f6), DLR.
    References: Madry et al., "Towards Deep Learning Models Resistant to Adversarial
        Attacks", ICLR 2018, Sec. 2.1. Differs from the authors' code in: the best
        iterate is kept rather than the last one.
    """
    return projected_ascent(
        objective,
        optim.steepest(relative_step),
        at_random,
        steps=steps,
        gradient=gradient,
    )


@factory()
def mim(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """Momentum iterative method: BIM along accumulated, normalised gradients.

    References: Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018,
        Alg. 1 (10 steps of eps / 10, decay 1).
    """
    rule = optim.momentum(relative_step, decay)
    return projected_ascent(
        objective, rule, at_the_input, steps=steps, gradient=gradient
    )


@factory()
def nesterov(
    steps: int = 10,
    relative_step: float = 0.1,
    decay: float = 1.0,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """BIM with Nesterov momentum, see `optim.nesterov`."""
    rule = optim.nesterov(relative_step, decay)
    return projected_ascent(
        objective, rule, at_the_input, steps=steps, gradient=gradient
    )


@factory()
def adam_pgd(
    steps: int = 40,
    relative_step: float = 0.1,
    objective: objectives.Objective = objectives.cross_entropy,
    gradient: Gradient | None = None,
) -> Attack:
    """PGD whose step rule is Adam, see `optim.adam`.

    References: Uesato et al., "Adversarial Risk and the Dangers of Evaluating Against
        Weak Attacks", ICML 2018, Sec. 4.
    """
    return projected_ascent(
        objective, optim.adam(relative_step), at_random, steps=steps, gradient=gradient
    )
