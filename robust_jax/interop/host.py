"""Models that JAX does not know: any function of a batch, asked on the host."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.layout import declared
from robust_jax.core.origin import Origin
from robust_jax.core.types import Array

BatchFn = Callable[[NDArray[Any]], Any]  # [B, *S] -> [B, K] scores or [B] classes
Answers = Literal["scores", "labels"]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a traced program calls back."""

    on_the_host: Callable[..., Any]  # (shape, *arrays) to arrays like those announced
    shape: tuple[int, ...]  # of an example
    name: Callable[[], str | None]  # what tells the model from others

    def __call__(self, *given: Any) -> Any:
        return self.on_the_host(self.shape, *map(np.array, given))


def name_of(callback: Any) -> str | None:
    """The name of the model that a program calls back; None if nobody has named it.

    Args:
        callback: the function in the program, or a wrapper of it, JAX's or our own.
    """
    asked = _asked_by(callback)
    return None if asked is None else asked.name()


def is_ours(callback: Any) -> bool:
    """Whether what a program calls back is a model of `from_host`; see `name_of`."""
    return _asked_by(callback) is not None


def _asked_by(callback: Any) -> Asked | None:
    function = getattr(callback, "callback_func", callback)
    cells = getattr(function, "__closure__", None) or ()
    held = (function, *(cell.cell_contents for cell in cells))
    return next((one for one in held if isinstance(one, Asked)), None)


@dataclasses.dataclass(frozen=True)
class _Written:
    """The same, of buffers of the CPU device."""

    callback_func: Asked  # As JAX names it in its own callbacks.

    def __call__(self, context: Any, out: Any, *given: Any) -> None:
        answers = self.callback_func(*map(np.asarray, given))
        for place, answer in zip(
            jax.tree.leaves(out), jax.tree.leaves(answers), strict=True
        ):
            np.asarray(place)[...] = answer


def from_host(
    batch_fn: BatchFn,
    num_classes: int,
    *,
    answers: Answers = "scores",
    name: str | None = None,
) -> Partial:
    """Any function of a batch as a black-box model of one example.

    Each step of an attack asks it once for the whole batch, from within the compiled
    program. Attacks that need no gradient work on it: those that see scores, or, of
    "labels", those that see labels alone (`attacks.list()` says which). PyTorch:
    `from_host(lambda b: net(torch.from_numpy(b)).detach().numpy(), 10)`.
    Guarantees: the function gets a NumPy array of its own, in the dtype of x.
    Edge cases: it must answer examples independently, and must not call JAX; a label
    becomes a logit of 1 among those of -1. Python must not end while it is asked: what
    was computed last is waited for (`block_until_ready`).

    Args:
        batch_fn: [B, *S] to scores [B, num_classes], higher for likelier, or to class
            numbers [B] below num_classes.
        num_classes: K, >= 2.
        answers: which of the two.
        name: what tells the function, with its weights, from every other one: the
            journal of an evaluation needs it, for nothing else can.
    Returns: one example [*S] to its logits [K].
    Raises: ValueError: arguments outside these ranges; when it is differentiated;
        while it runs, answers of another shape, or labels out of range.
    """
    checks.function("batch_fn", batch_fn)
    checks.positive_integer("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; expected an integer >= 2")
    check_answers(answers)
    check_name(name)
    said = Origin("a function on the host" + f" ({name})" * (name is not None))
    return on_host(batch_fn, num_classes, answers, lambda: name, said)


def on_host(
    batch_fn: BatchFn,
    num_classes: int,
    answers: Answers,
    name: Callable[[], str | None],
    said: Origin,
) -> Partial:
    """As `from_host`, of arguments that are checked; the name is asked when needed."""

    def on_the_host(shape: tuple[int, ...], x: NDArray[Any]) -> NDArray[np.float32]:
        batch = x.reshape(-1, *shape)
        given = np.asarray(batch_fn(batch))
        scores = _scores(given, len(batch), num_classes, answers)
        lead = x.shape[: x.ndim - len(shape)]
        return scores.reshape(*lead, num_classes)

    @functools.cache
    def of_shape(shape: tuple[int, ...]) -> Asked:
        return Asked(on_the_host, shape, name)  # The same at every trace.

    @jax.custom_jvp
    def ask(x: Array) -> Array:
        scores = jax.ShapeDtypeStruct((num_classes,), jnp.float32)
        return called_back(of_shape(x.shape), scores, x)

    @ask.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise ValueError(
            "model=from_host(...) has no gradient; take an attack that needs none, "
            "such as square or hop_skip_jump, or gradient=attacks.estimates.nes()"
        )

    return declared(ask, said)


def check_answers(answers: Any) -> None:
    """Raises ValueError for another kind of answers."""
    if not isinstance(answers, str) or answers not in ("scores", "labels"):
        said = checks.shown(answers)
        raise ValueError(f"answers={said}; expected 'scores' or 'labels'")


def check_name(name: Any) -> None:
    """Raises ValueError for what is no name, nor None."""
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(
            f"name={checks.shown(name)}; expected a text that is not empty"
        )


def called_back(asked: Asked, shapes: Any, *given: Array) -> Any:
    """What a model on the host says, arrays of the shapes and types announced.

    JAX's `pure_callback` puts the argument on the CPU device, which a worker thread of
    that device does where the argument is large: of one core's only worker, which waits
    for the callback, for ever. So on the CPU the buffers themselves are read; where the
    program runs is known when it is compiled.
    """

    def here(*given: Array) -> Any:
        written = _Written(asked)
        return buffer_callback(written, shapes, vmap_method="broadcast_all")(*given)

    def elsewhere(*given: Array) -> Any:
        return jax.pure_callback(asked, shapes, *given, vmap_method="broadcast_all")

    return jax.lax.platform_dependent(*given, cpu=here, default=elsewhere)


def _scores(
    given: NDArray[Any], count: int, num_classes: int, answers: str
) -> NDArray[np.float32]:
    """What the function gave, as scores [B, K].

    Raises: ValueError: what it gave is of another shape or range.
    """
    wanted = (count,) if answers == "labels" else (count, num_classes)
    if given.shape != wanted:
        raise ValueError(
            f"batch_fn gave an array of shape {given.shape} for {count} examples; "
            f"expected {wanted}, as answers={answers!r}"
        )
    if answers == "scores":
        return given.astype(np.float32)
    if not ((given >= 0) & (given < num_classes)).all():
        raise ValueError(
            f"batch_fn gave the label {given.max()} or {given.min()}; expected class "
            f"numbers below num_classes={num_classes}"
        )
    # Not ones and zeros, which would look like probabilities.
    return 2 * np.eye(num_classes, dtype=np.float32)[given.astype(int)] - 1
