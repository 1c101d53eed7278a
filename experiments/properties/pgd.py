"""What PGD makes of the test images, and how sure nets are of their answers."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.properties.nearest import keys
from experiments.properties.setting import Setting
from robust_jax import analysis, attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import LogitsFn, Threat, Untargeted
from robust_jax.datasets import Dataset

STEPS = 40


def pgd(
    setting: Setting, logits_fn: LogitsFn, data: Dataset, threat: Threat
) -> np.ndarray:
    """The images of largest margin that PGD finds, on and on after a success."""
    run = drive.auto(attacks.pgd(STEPS), to_the_end=True)
    goal = Untargeted(data.labels.astype(np.int32))
    made = run(
        keys(setting.seed, len(data)),
        logits_fn,
        threat,
        jnp.asarray(data.pixels()),
        goal,
    )
    return np.asarray(made.x_adv)


def attacked(setting: Setting, name: str) -> tuple[Dataset, np.ndarray, float]:
    """Test images, what PGD makes of them in an Linf ball for a net, and its radius.

    Made once for all studies.
    """
    data, eps = setting.shown(500), 0.15 if setting.is_small else 0.2
    if name not in setting.by_pgd:
        net = setting.nets[name]
        setting.by_pgd[name] = pgd(setting, net.logits_fn, data, threats.Linf(eps))
    return data, setting.by_pgd[name], eps


def softmax(logits_fn: LogitsFn, images: np.ndarray) -> np.ndarray:
    """Probabilities, shape [N, K]."""
    return analysis.features(lambda x: jax.nn.softmax(jax.vmap(logits_fn)(x)), images)
