"""Does a net use a concept? Directions that tell it, and their effect (host)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from robust_jax.core import extras
from robust_jax.core.brief import brief, brief_html

Values = NDArray[np.floating]


class Sensitivity(NamedTuple):
    """How often a class's logit rises along a concept, and whether chance would."""

    scores: NDArray[np.float64]  # [R], one for each random set the concept is held to
    chance: NDArray[np.float64]  # [R], of random sets held to one another
    p: float  # two-sided Welch test of equal means
    rank: float  # share of random sets that are as far from one half as the mean is

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)

    @property
    def score(self) -> float:
        """The mean of the scores."""
        return float(self.scores.mean())


def concept_vector(concept: Values, other: Values) -> NDArray[np.float64]:
    """The unit normal of a linear classifier that tells features apart, [D].

    Args:
        concept: features of examples that show it, shape [N, D].
        other: of examples that need not, shape [M, D].
    """
    features = np.concatenate([concept, other]).astype(np.float64)
    labels = np.arange(len(features)) < len(concept)
    spread = features.std() or 1.0
    linear = extras.needed("sklearn.linear_model", "data", "analysis.concept_vector")
    model = linear.LogisticRegression(C=1.0, max_iter=300)
    normal = model.fit(features / spread, labels).coef_[0]
    return normal / (np.linalg.norm(normal) or 1.0)


def tcav(
    concept: Values,
    pool: Values,
    gradients: Values,
    rng: np.random.Generator,
    *,
    sets: int = 50,
) -> Sensitivity:
    """The share of a class's examples whose logit rises towards a concept.

    Args:
        concept: features of examples that show it, shape [N, D].
        pool: features that random sets are drawn from, shape [P, D], P >= 2 N.
        gradients: of the class's logit by the features, of its examples, shape [M, D].
        rng: draws the sets.
        sets: R, at least two; the rank is at least 1 / (R + 1).
    Raises: ValueError: a pool too small; fewer than two sets.
    References: Kim et al., "Interpretability beyond feature attribution: quantitative
        testing with concept activation vectors", ICML 2018. Differs from it in: beside
        the paper's t test stands the rank among random sets. The test takes the scores
        for independent, though all share the concept's examples, and so often finds
        random concepts significant; the rank does not.
    """
    count = len(concept)
    if len(pool) < 2 * count:
        raise ValueError(
            f"pool has {len(pool)} examples; expected at least {2 * count}"
        )
    if sets < 2:
        raise ValueError(f"sets={sets}; expected at least two")
    scores, chance = [], []
    for _ in range(sets):
        drawn = pool[rng.permutation(len(pool))[: 2 * count]]
        first, second = drawn[:count], drawn[count:]
        scores.append(_share(gradients, concept_vector(concept, first)))
        chance.append(_share(gradients, concept_vector(second, first)))
    is_constant = not (np.std(scores) or np.std(chance))
    test = stats.ttest_ind(scores, chance, equal_var=False)
    p = float(scores[0] == chance[0]) if is_constant else float(test.pvalue)
    far = np.abs(np.asarray(chance) - 0.5) >= abs(np.mean(scores) - 0.5)
    rank = float((1 + far.sum()) / (1 + sets))
    return Sensitivity(np.asarray(scores), np.asarray(chance), p, rank)


def _share(gradients, direction):
    return float((gradients @ direction > 0).mean())
