"""Accuracy under common corruptions: what average cases cost, not the worst one."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from robust_jax import threats
from robust_jax.core import checks, compiling, lift
from robust_jax.core.brief import brief
from robust_jax.core.compiling import own_settings
from robust_jax.core.margin import verdict
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import LogitsFn, Untargeted
from robust_jax.evaluate.examples import checked
from robust_jax.report import markup
from robust_jax.threats import corruptions


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """Which images a net gets right under which corruption.

    >>> right = np.array([[[True, False], [False, False]]])
    >>> found = rj.evaluate.Corrupted(("fog",), (1, 2), np.array([True, True]), right)
    >>> found.mean, found.accuracy("fog", 1).value
    (0.25, 0.5)
    """

    names: tuple[str, ...]
    severities: tuple[int, ...]
    clean: NDArray[np.bool_]  # [N]
    right: NDArray[np.bool_]  # [names, severities, N]

    __repr__ = brief

    def accuracy(self, name: str, severity: int | None = None) -> Proportion:
        """Under one corruption, at a severity or over all of them.

        Raises: ValueError: a corruption or a severity that was not asked for.
        """
        checks.known_name("corruption", name, self.names)
        right = self.right[self.names.index(name)]
        if severity is None:
            return Proportion(int(right.sum()), right.size)
        if severity not in self.severities:
            raise ValueError(f"severity={severity}; expected one of {self.severities}")
        chosen = right[self.severities.index(severity)]
        return Proportion(int(chosen.sum()), chosen.size)

    def _repr_html_(self) -> str:
        clean = Proportion(int(self.clean.sum()), len(self.clean))
        mean = f"Mean corruption accuracy {self.mean:.1%}, clean accuracy {clean}"
        return markup.notebook(mean, self.rows())

    @property
    def mean(self) -> float:
        """The mean corruption accuracy: over corruptions and severities alike."""
        return float(self.right.mean())

    def rows(self) -> list[dict[str, Any]]:
        """The cells of a table, a corruption each."""
        return [
            {
                "corruption": name,
                **{f"severity_{s}": self.accuracy(name, s) for s in self.severities},
                "mean": self.accuracy(name).value,
            }
            for name in self.names
        ]


@own_settings()
def corrupted_accuracy(
    model: LogitsFn,
    images: Any,
    labels: Any,
    names: Sequence[str] | None = None,
    severities: Sequence[int] = corruptions.SEVERITIES,
    *,
    ids: Any = None,
    seed: int = 0,
    tile: int = lift.TILE,
    on_items: Callable[[int], None] = lambda n: None,
) -> Corrupted:
    """Corrupts each image once for every corruption and severity, and asks the net.

    Guarantees: the result does not depend on order, subset or batch of the images, nor
    on which other corruptions are asked for; a tie is lost.

    Args:
        model, images, labels, ids, seed, tile: as in `robustness`.
        names: of `threats.corruptions.names()`; all by default.
        severities: from 1 to 5.
        on_items: called with the number of images that were looked at.
    Raises: ValueError: bad images, labels or model, an unknown corruption, a severity
        out of range.
    References: Hendrycks & Dietterich, ICLR 2019; see `threats.corruptions.corrupt`.

    >>> given = net, images, labels
    >>> found = rj.evaluate.corrupted_accuracy(*given, ["contrast"], severities=[1, 5])
    >>> found.accuracy("contrast", 5)
    Proportion(successes=3, n=3)
    """
    checks.function("on_items", on_items)
    if names is not None:
        checks.sequence("names", names)
    checks.sequence("severities", severities)
    names = tuple(corruptions.names() if names is None else names)
    for name in names:
        checks.known_name("corruption", name, corruptions.names())
    for severity in severities:
        if severity not in corruptions.SEVERITIES:
            raise ValueError(
                f"severity={checks.shown(severity)}; expected an integer from 1 to 5"
            )
    still = threats.Linf(0.0)
    net, examples, _ = checked(model, images, labels, still, ids, seed, tile)
    model = net.logits_fn
    right = np.zeros((len(names), len(severities), len(examples.images)), bool)
    for row, name in enumerate(names):
        place = corruptions.names().index(name)
        for column, severity in enumerate(severities):
            keys = lift.item_keys(seed, examples.ids, stage=place, target=severity)
            run = lift.in_tiles(_looks(name, severity), tile=tile, on_tile=on_items)
            goal = Untargeted(examples.labels)
            right[row, column] = run(keys, model, still, examples.images, goal)
    return Corrupted(names, tuple(severities), examples.right, right)


def _looks(name: str, severity: int) -> Callable[..., jax.Array]:
    """A batch's answers, right or not, as `in_tiles` asks for them."""
    program = _program(name)

    def look(keys, model, threat, x, goal):
        return program(keys, model, jnp.int32(severity), x, goal)

    return look


@functools.lru_cache(maxsize=64)
def _program(name: str) -> Callable[..., jax.Array]:
    def one(key, model, severity, x, goal):
        changed = corruptions.corrupt(name, key, x, severity)
        return verdict(model(changed), goal) < 0

    return compiling.compiled(jax.vmap(one, in_axes=(0, None, None, 0, 0)))
