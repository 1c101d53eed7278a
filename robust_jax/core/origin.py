"""Where a model comes from: what adapters of foreign nets say of their functions.

It stands on the function of a `jax.tree_util.Partial` as `origin`, apart from weights:
front doors turn images by the layout, reports keep source and parity.
"""

import dataclasses
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from jax.tree_util import Partial

from robust_jax.core import checks

Layout = Literal["HWC", "CHW"]  # Where the channels of an image are.
CLOSE = 1e-4  # A larger difference of logits, relative to the largest, is another net.


@dataclasses.dataclass(frozen=True)
class Parity:
    """How close an imported net is to the original, on the same images.

    Args:
        images: how many.
        logits: largest difference of logits, relative to the largest |logit|.
        same_class: images whose largest logit is that of the same class.
        gradients: largest difference of input gradients of the margin between the two
            largest logits, relative to the largest entry; None where the original has
            none.
        differs: the first layer that differs by more than `CLOSE`, if any does.
    """

    images: int
    logits: float
    same_class: int
    gradients: float | None = None
    differs: str | None = None
    is_accepted: bool = False  # by the user, though it is not close

    @property
    def is_close(self) -> bool:
        """Whether logits differ by rounding alone."""
        return self.logits <= CLOSE

    @property
    def is_admitted(self) -> bool:
        """Whether evaluations take the net."""
        return self.is_close or self.is_accepted

    def __str__(self) -> str:
        gradients = (
            "" if self.gradients is None else f", gradients {self.gradients:.1e}"
        )
        return (
            f"logits differ by {self.logits:.1e} of the largest{gradients}, the same "
            f"class on {self.same_class} of {self.images} images{self._where}"
        )

    @property
    def _where(self) -> str:
        first = (
            ""
            if self.differs is None
            else f"; the first layer that differs is {self.differs}"
        )
        return first + "; accepted" * self.is_accepted


@dataclasses.dataclass(frozen=True)
class Origin:
    """What an adapter says of a model; equal origins share compiled programs.

    Args:
        source: such as "torch package.Net"; one line.
        layout: of the images that it takes; None if it does not know images.
        parity: with the original; not compared, as new weights have another one.
    """

    source: str
    layout: Layout | None = None
    parity: Parity | None = dataclasses.field(default=None, compare=False)

    def __str__(self) -> str:
        where = {None: "", "HWC": ", channels last", "CHW": ", channels first"}
        parity = "" if self.parity is None else f": {self.parity}"
        return f"{self.source}{where[self.layout]}{parity}"

    def to_json(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return dataclasses.asdict(self)


def said_of(
    library: str,
    of: Any,
    layout: Layout | None,
    mode: str = "in inference mode",
) -> Origin:
    """What an adapter says of a net of another library.

    Args:
        library: its name.
        of: what the net is of, a class or a function.
        layout: what the user says.
        mode: how it is called.
    Raises: ValueError: another layout.
    """
    if layout is not None and layout not in typing.get_args(Layout):
        raise ValueError(
            f"layout={checks.shown(layout)}; expected 'HWC', 'CHW', or None where "
            "images are channels last or are none"
        )
    module, name = (getattr(of, a, None) for a in ("__module__", "__qualname__"))
    return Origin(" ".join(filter(None, (library, f"{module}.{name}", mode))), layout)


def of(model: Any) -> Origin | None:
    """What is known of a model, through wrappers that hold it; None of plain functions.

    >>> from robust_jax.core import origin
    >>> print(origin.of(rj.interop.channels_first(net)))
    a function, channels first
    """
    said = getattr(model, "origin", None)
    if isinstance(said, Origin):
        return said
    if not (hasattr(model, "func") and hasattr(model, "args")):  # No `Partial`.
        return None
    inner = map(of, (model.func, *_held(model.args)))
    return next((found for found in inner if found is not None), None)


def _held(parts: Iterable[Any]) -> Iterator[Partial]:
    """The models among arguments, an ensemble's too."""
    for part in parts:
        if isinstance(part, Partial):
            yield part
        elif isinstance(part, tuple | list):
            yield from _held(part)
