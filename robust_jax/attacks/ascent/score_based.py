"""Attacks that climb a gradient estimated from scores: SPSA, NES, Bandits."""

from robust_jax import optim
from robust_jax.attacks.gradients import estimates
from robust_jax.attacks.gradients.bandits import bandit
from robust_jax.attacks.skeletons.projected import at_the_input, projected_ascent
from robust_jax.core.facts import SCORES, attack
from robust_jax.core.types import Attack
from robust_jax.losses import objectives


@attack(
    "samples",
    paper="Uesato et al., ICML 2018",
    norms=("linf", "l2"),
    sees=SCORES,
    per_step=(257, 0),
)
def spsa(
    steps: int = 100,
    relative_step: float = 0.1,
    samples: int = 128,
    delta: float = 0.01,
    objective: objectives.Objective = objectives.margin,
) -> Attack:
    """Score-based: Adam along `estimates.spsa`, from the clean input.

    Args:
        steps: moves, each of 2 * samples + 1 evaluations, >= 1.
        relative_step: step size as a multiple of eps.
        samples, delta: see `estimates.spsa`.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside their ranges.
    References: Uesato et al., "Adversarial Risk and the Dangers of Evaluating Against
        Weak Attacks", ICML 2018, Sec. 4 (Adam at 0.01, delta 0.01, the margin). Differs
        from it in: the step is a multiple of eps; 128 pairs by default, theirs up to
        8,192 samples; Adam's direction has the Euclidean length of the steepest step,
        see `optim.adam`.

    >>> rj.attacks.spsa(steps=20, samples=64)
    spsa(steps=20, relative_step=0.1, samples=64, delta=0.01)
    """
    return projected_ascent(
        objective,
        optim.adam(relative_step),
        at_the_input,
        steps=steps,
        gradient=estimates.spsa(samples, delta),
    )


@attack(
    "samples",
    paper="Ilyas et al., ICML 2018",
    norms=("linf", "l2"),
    sees=SCORES,
    per_step=(51, 0),
)
def nes(
    steps: int = 100,
    relative_step: float = 0.2,
    samples: int = 25,
    sigma: float = 0.001,
    decay: float = 0.9,
    objective: objectives.Objective = objectives.cross_entropy,
) -> Attack:
    """Score-based: steps with momentum along `estimates.nes`, from the clean input.

    Args:
        steps: moves, each of 2 * samples + 1 evaluations, >= 1.
        relative_step: step size as a multiple of eps.
        samples, sigma: see `estimates.nes`.
        decay: of the momentum, >= 0.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside their ranges.
    References: Ilyas et al., "Black-box Adversarial Attacks with Limited Queries and
        Information", ICML 2018, Alg. 1 and 2 (25 pairs, sigma 0.001, momentum 0.9,
        steps of 0.01 at eps 0.05). Differs from the authors' code in: the step size
        is constant; momentum is `optim.momentum`.

    >>> rj.attacks.nes(steps=40, samples=10)
    nes(steps=40, relative_step=0.2, samples=10, sigma=0.001, decay=0.9)
    >>> rj.attacks.by_name("nes").per_step  # Of 25 samples.
    (51, 0)
    """
    return projected_ascent(
        objective,
        optim.momentum(relative_step, decay),
        at_the_input,
        steps=steps,
        gradient=estimates.nes(samples, sigma),
    )


@attack(
    "side",
    paper="Ilyas et al., ICLR 2019",
    norms=("linf", "l2"),
    sees=SCORES,
    per_step=(3, 0),
)
def bandits(
    steps: int = 3_000,
    relative_step: float = 0.2,
    side: int = 14,
    objective: objectives.Objective = objectives.cross_entropy,
) -> Attack:
    """Score-based: steepest steps along a prior that two evaluations a step teach.

    Args:
        steps: moves, each of 3 evaluations, >= 1.
        relative_step: step size as a multiple of eps.
        side: see `bandits.bandit`.
        objective: the quantity to climb.
    Raises: ValueError: arguments outside their ranges.
    References: Ilyas et al., "Prior Convictions: Black-Box Adversarial Attacks with
        Bandits and Priors", ICLR 2019, Alg. 3 (Linf: steps of 0.01 at eps 0.05).
        Differs from the authors' code in: 14 blocks a side, or the image's own pixels;
        in L2 steps are 0.2 of eps, theirs 0.1.

    >>> rj.attacks.bandits(steps=1000, side=7)
    bandits(steps=1000, relative_step=0.2, side=7)
    >>> rj.attacks.by_name("bandits").sees
    'scores'
    """
    return projected_ascent(
        objective,
        optim.steepest(relative_step),
        at_the_input,
        steps=steps,
        gradient=bandit(side=side),
    )
