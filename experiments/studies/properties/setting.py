"""What every study is given."""

import dataclasses
from collections.abc import Callable

import numpy as np

from experiments.studies.properties import nearest
from experiments.studies.properties.nets import Nets
from robust_jax.commands.shared import recording
from robust_jax.datasets import Dataset

Study = Callable[["Setting", recording.Run], dict[str, float]]  # values for the gates


@dataclasses.dataclass(eq=False)
class Setting:
    """Data, nets and seed of a run, and the adversarial images that studies share."""

    dataset: str
    seed: int
    training: Dataset
    test: Dataset
    nets: Nets
    paper: bool  # whether the paper's numbers stand beside ours
    clip: np.ndarray | None = None  # a user's frames [T, H, W, C], for `invariance`
    _made: dict[tuple[str, str], nearest.Images] = dataclasses.field(
        init=False, default_factory=dict
    )

    @property
    def is_small(self) -> bool:
        """The digits: 1,147 training images of 8x8 pixels."""
        return self.dataset == "digits"

    @property
    def eps(self) -> float:
        """The Linf radius of attacks with a fixed one."""
        return 0.15 if self.is_small else 0.2

    def rng(self, study: str) -> np.random.Generator:
        """A study's own draws, the same whatever ran before it."""
        return np.random.default_rng([self.seed, *study.encode()])

    def shown(self, count: int) -> Dataset:
        """The first so many test images."""
        return self.test.take(np.arange(min(count, len(self.test))))

    def attacked(self) -> Dataset:
        """The test images that L-BFGS moves."""
        return self.shown(200 if self.is_small else 100)

    def goals(self) -> np.ndarray:
        """The random wrong classes that they are moved to."""
        return nearest.targets(self.attacked().labels, self.rng("goals"))

    def moved(self, name: str) -> nearest.Images:
        """They, moved to the nearest images that a net sees as the goals, by L-BFGS.

        NaN where none was found. Made once for all studies.
        """

        def make() -> nearest.Images:
            net, images = self.nets[name], self.attacked().pixels()
            return nearest.nearest(net.logits_fn, images, self.goals(), self.seed)

        return self.once("L-BFGS", name, make)

    def once(
        self, attack: str, net: str, make: Callable[[], nearest.Images]
    ) -> nearest.Images:
        """What an attack makes for a net, made when it is first asked for."""
        if (attack, net) not in self._made:
            self._made[attack, net] = make()
        return self._made[attack, net]
