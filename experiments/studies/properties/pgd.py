"""What PGD makes of the test images, and how sure nets are of their answers."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.properties.nearest import keys
from experiments.studies.properties.setting import Setting
from robust_jax import analysis, attacks, threats
from robust_jax.core import drive
from robust_jax.core.types import Attack, LogitsFn, Threat, Untargeted
from robust_jax.datasets import Dataset

STEPS = 40


def strongest(
    attack: Attack,
    logits_fn: LogitsFn,
    threat: Threat,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> np.ndarray:
    """The images of largest margin that an attack finds, going on after a success."""
    run = drive.auto(attack, to_the_end=True)
    goal = Untargeted(labels.astype(np.int32))
    each = keys(seed, images, labels)
    made = run(each, logits_fn, threat, jnp.asarray(images), goal)
    return np.asarray(made.x_adv)


def pgd(
    setting: Setting, logits_fn: LogitsFn, data: Dataset, threat: Threat
) -> np.ndarray:
    """`strongest` of PGD."""
    attack, pixels = attacks.pgd(STEPS), data.pixels()
    return strongest(attack, logits_fn, threat, pixels, data.labels, setting.seed)


def attacked(setting: Setting, name: str) -> tuple[Dataset, np.ndarray]:
    """Test images, and what PGD makes of them for a net in the ball of `setting.eps`.

    Made once for all studies.
    """
    data, threat = setting.shown(500), threats.Linf(setting.eps)

    def make() -> np.ndarray:
        return pgd(setting, setting.nets[name].logits_fn, data, threat)

    return data, setting.once("PGD", name, make)


def softmax(logits_fn: LogitsFn, images: np.ndarray) -> np.ndarray:
    """Probabilities, shape [N, K]."""
    return analysis.features(lambda x: jax.nn.softmax(jax.vmap(logits_fn)(x)), images)
