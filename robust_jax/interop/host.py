"""Models that JAX does not know: any function of a batch, asked on the host."""

import dataclasses
import functools
import hashlib
import pickle
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.types import Array

BatchFn = Callable[[NDArray[Any]], Any]  # [B, *S] -> [B, K] scores or [B] classes
Answers = Literal["scores", "labels"]


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What a traced program calls back."""

    on_the_host: Callable[[tuple[int, ...], Any], NDArray[np.float32]]
    shape: tuple[int, ...]  # of an example
    name: Callable[[], str | None]  # what tells the model from others

    def __call__(self, given: Any) -> NDArray[np.float32]:
        return self.on_the_host(self.shape, given)


def name_of(callback: Any) -> str | None:
    """The name of the model that a program calls back; None if nobody has named it.

    Args:
        callback: the function in the program, or JAX's wrapper of it.
    """
    function = getattr(callback, "callback_func", callback)
    cells = getattr(function, "__closure__", None) or ()
    held = (function, *(cell.cell_contents for cell in cells))
    return next((one.name() for one in held if isinstance(one, _Asked)), None)


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
    becomes a logit of 1 among those of -1.

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
    checks.positive_integer("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; expected an integer >= 2")
    if answers not in ("scores", "labels"):
        raise ValueError(f"answers={answers!r}; expected 'scores' or 'labels'")
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(f"name={name!r}; expected a text that is not empty")
    return _on_host(batch_fn, num_classes, answers, lambda: name)


def _on_host(
    batch_fn: BatchFn,
    num_classes: int,
    answers: Answers,
    name: Callable[[], str | None],
) -> Partial:
    def on_the_host(shape: tuple[int, ...], x: Any) -> NDArray[np.float32]:
        batch = np.array(x).reshape(-1, *shape)
        given = np.asarray(batch_fn(batch))
        scores = _scores(given, len(batch), num_classes, answers)
        lead = np.shape(x)[: np.ndim(x) - len(shape)]
        return scores.reshape(*lead, num_classes)

    @jax.custom_jvp
    def ask(x: Array) -> Array:
        return jax.pure_callback(
            _Asked(on_the_host, x.shape, name),
            jax.ShapeDtypeStruct((num_classes,), jnp.float32),
            x,
            vmap_method="broadcast_all",
        )

    @ask.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise ValueError(
            "model=from_host(...) has no gradient; take an attack that needs none, "
            "such as square or hop_skip_jump, or gradient=attacks.estimates.nes()"
        )

    return Partial(ask)


def from_sklearn(
    estimator: Any, *, answers: Answers | None = None, name: str | None = None
) -> Partial:
    """A fitted classifier of scikit-learn as a black-box model; see `from_host`.

    Scores are those of `decision_function`, else logarithms of `predict_proba`;
    images are flattened.

    Args:
        estimator: its classes are integers from 0 on.
        answers: None takes scores where the estimator has them for every class.
        name: as in `from_host`; by default a digest of the pickled estimator.
    Raises: ValueError: classes that are not integers from 0 on; scores asked of an
        estimator that has none.
    """
    classes = np.asarray(estimator.classes_)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"estimator.classes_={classes.tolist()}; expected 0, 1, ..., K - 1; fit it "
            "to class numbers"
        )
    score = _score_of(estimator)
    if answers == "scores" and score is None:
        raise ValueError(
            f"estimator={type(estimator).__name__} has neither decision_function nor "
            "predict_proba; take answers='labels'"
        )
    kind: Answers = "labels" if answers == "labels" or score is None else "scores"
    asked = estimator.predict if score is None or kind == "labels" else score
    if name is not None:
        return from_host(_flattened(asked), len(classes), answers=kind, name=name)
    pickled = functools.partial(_pickled, estimator)
    return _on_host(_flattened(asked), len(classes), kind, pickled)


def _pickled(estimator: Any) -> str | None:
    """A digest of the estimator as it is now; None of one that cannot be pickled.

    Of one that was read from a file and one that was just fitted pickle writes equal
    texts in other ways: a second time they are alike.
    """
    try:
        content = pickle.dumps(pickle.loads(pickle.dumps(estimator)))
    except Exception:  # Whatever its parts raise.
        return None
    return hashlib.sha256(content).hexdigest()


def _score_of(estimator: Any) -> BatchFn | None:
    if hasattr(estimator, "decision_function"):
        return lambda batch: _two_columns(estimator.decision_function(batch))
    if hasattr(estimator, "predict_proba"):
        return lambda batch: np.log(np.maximum(estimator.predict_proba(batch), 1e-12))
    return None


def _two_columns(decision: NDArray[Any]) -> NDArray[Any]:
    """Of two classes scikit-learn gives one number, the second's lead."""
    if decision.ndim == 1:
        return np.stack([-decision / 2, decision / 2], axis=1)
    return decision


def _flattened(function: BatchFn) -> BatchFn:
    return lambda batch: function(batch.reshape(len(batch), -1))


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
