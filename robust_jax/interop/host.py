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
from jax.experimental.buffer_callback import buffer_callback
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import checks
from robust_jax.core.types import Array

# Fewer images do not tell, and more of them do, that scores are of something else.
_ENOUGH, _SELDOM = 8, 0.5
BatchFn = Callable[[NDArray[Any]], Any]  # [B, *S] -> [B, K] scores or [B] classes
Answers = Literal["scores", "labels"]


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What a traced program calls back."""

    on_the_host: Callable[[tuple[int, ...], NDArray[Any]], NDArray[np.float32]]
    shape: tuple[int, ...]  # of an example
    name: Callable[[], str | None]  # what tells the model from others

    def __call__(self, given: Any) -> NDArray[np.float32]:
        return self.on_the_host(self.shape, np.array(given))


def name_of(callback: Any) -> str | None:
    """The name of the model that a program calls back; None if nobody has named it.

    Args:
        callback: the function in the program, or a wrapper of it, JAX's or our own.
    """
    function = getattr(callback, "callback_func", callback)
    cells = getattr(function, "__closure__", None) or ()
    held = (function, *(cell.cell_contents for cell in cells))
    return next((one.name() for one in held if isinstance(one, _Asked)), None)


@dataclasses.dataclass(frozen=True)
class _Written:
    """The same, of buffers of the CPU device."""

    callback_func: _Asked  # As JAX names it in its own callbacks.

    def __call__(self, context: Any, out: Any, given: Any) -> None:
        np.asarray(out)[...] = self.callback_func(np.asarray(given))


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
    checks.function("batch_fn", batch_fn)
    checks.positive_integer("num_classes", num_classes)
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}; expected an integer >= 2")
    _check_answers(answers)
    if name is not None and not (isinstance(name, str) and name):
        raise ValueError(
            f"name={checks.shown(name)}; expected a text that is not empty"
        )
    return _on_host(batch_fn, num_classes, answers, lambda: name)


def _on_host(
    batch_fn: BatchFn,
    num_classes: int,
    answers: Answers,
    name: Callable[[], str | None],
) -> Partial:
    def on_the_host(shape: tuple[int, ...], x: NDArray[Any]) -> NDArray[np.float32]:
        batch = x.reshape(-1, *shape)
        given = np.asarray(batch_fn(batch))
        scores = _scores(given, len(batch), num_classes, answers)
        lead = x.shape[: x.ndim - len(shape)]
        return scores.reshape(*lead, num_classes)

    @functools.cache
    def of_shape(shape: tuple[int, ...]) -> _Asked:
        return _Asked(on_the_host, shape, name)  # The same at every trace.

    @jax.custom_jvp
    def ask(x: Array) -> Array:
        return _called_back(of_shape(x.shape), num_classes, x)

    @ask.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise ValueError(
            "model=from_host(...) has no gradient; take an attack that needs none, "
            "such as square or hop_skip_jump, or gradient=attacks.estimates.nes()"
        )

    return Partial(ask)


def _check_answers(answers: Any) -> None:
    if not isinstance(answers, str) or answers not in ("scores", "labels"):
        said = checks.shown(answers)
        raise ValueError(f"answers={said}; expected 'scores' or 'labels'")


def _called_back(asked: _Asked, num_classes: int, x: Array) -> Array:
    """What a model on the host says of x, [K] float32.

    JAX's `pure_callback` puts the argument on the CPU device, which a worker thread of
    that device does where the argument is large: of one core's only worker, which waits
    for the callback, for ever. So on the CPU the buffers themselves are read; where the
    program runs is known when it is compiled.
    """
    shape = jax.ShapeDtypeStruct((num_classes,), jnp.float32)

    def here(x: Array) -> Array:
        written = _Written(asked)
        return buffer_callback(written, shape, vmap_method="broadcast_all")(x)

    def elsewhere(x: Array) -> Array:
        return jax.pure_callback(asked, shape, x, vmap_method="broadcast_all")

    return jax.lax.platform_dependent(x, cpu=here, default=elsewhere)


def from_sklearn(
    estimator: Any, *, answers: Answers | None = None, name: str | None = None
) -> Partial:
    """A fitted classifier of scikit-learn as a black-box model; see `from_host`.

    Scores are those of `decision_function`, else logarithms of `predict_proba`;
    images are flattened.
    Guarantees: the class with the largest score is the one that `predict` gives, which
    is asked each time, since votes, ties and thresholds of scikit-learn may say
    another; where they differ, that class is put a hair above the others.
    Edge cases: one-against-one columns (`decision_function_shape="ovo"`) are of pairs
    of classes, so that labels are taken.

    Args:
        estimator: its classes are integers from 0 on.
        answers: None takes scores where the estimator has them for every class.
        name: as in `from_host`; by default a digest of the pickled estimator.
    Raises: ValueError: no fitted classifier; classes that are not integers from 0 on;
        scores asked of an estimator that has none; while it runs, scores that seldom
        say what `predict` says.
    """
    if answers is not None:
        _check_answers(answers)
    if not hasattr(estimator, "classes_") or not hasattr(estimator, "predict"):
        raise ValueError(
            f"estimator of type {type(estimator).__name__}; expected a fitted "
            "classifier of scikit-learn, with classes_ and predict"
        )
    classes = np.asarray(estimator.classes_)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(
            f"estimator.classes_={classes.tolist()}; expected 0, 1, ..., K - 1; fit it "
            "to class numbers"
        )
    score = _score_of(estimator)
    if answers == "scores" and score is None:
        raise ValueError(
            f"estimator={type(estimator).__name__} has neither predict_proba nor a "
            "decision_function with a column for each class; take answers='labels'"
        )
    kind: Answers = "labels" if answers == "labels" or score is None else "scores"
    asked = estimator.predict
    if kind == "scores" and score is not None:
        asked = _leading(score, estimator.predict)
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
    """A column for each class, where the estimator has that."""
    if hasattr(estimator, "decision_function"):
        if len(estimator.classes_) > 2 and _is_of_pairs(estimator):
            return None
        return lambda batch: _two_columns(estimator.decision_function(batch))
    if hasattr(estimator, "predict_proba"):
        return lambda batch: np.log(np.maximum(estimator.predict_proba(batch), 1e-12))
    return None


def _is_of_pairs(estimator: Any) -> bool:
    """Whether a decision function, perhaps of the end of a pipeline, is of pairs."""
    inner = getattr(estimator, "best_estimator_", None)
    if inner is None and hasattr(estimator, "steps"):
        inner = estimator.steps[-1][1]
    if inner is not None:
        return _is_of_pairs(inner)
    return getattr(estimator, "decision_function_shape", None) == "ovo"


def _leading(score: BatchFn, predict: BatchFn) -> BatchFn:
    """Scores whose largest one is that of the class that `predict` gives."""
    is_known = False

    def scores(batch: NDArray[Any]) -> Any:
        nonlocal is_known
        given, says = np.array(score(batch), np.float32), np.asarray(predict(batch))
        if given.ndim != 2:  # `from_host` tells what is wrong with it.
            return given
        each = np.arange(len(batch))
        others = given.copy()
        others[each, says] = -np.inf
        top, wrong = others.max(axis=1), int((given.argmax(axis=1) != says).sum())
        if not is_known and len(batch) >= _ENOUGH and wrong > _SELDOM * len(batch):
            raise ValueError(
                f"the estimator's scores lead to another class than its predict for "
                f"{wrong} of {len(batch)} images; take answers='labels'"
            )
        is_known = is_known or len(batch) >= _ENOUGH
        rows = np.flatnonzero(given[each, says] <= top)  # A tie would count as lost.
        given[rows, says[rows]] = np.nextafter(top[rows], np.float32(np.inf))
        return given

    return scores


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
