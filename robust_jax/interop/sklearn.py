"""Classifiers of scikit-learn as black-box models."""

import functools
import hashlib
import pickle
from typing import Any

import numpy as np
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import origin
from robust_jax.interop.host import Answers, BatchFn, check_answers, check_name, on_host

# Fewer images do not tell, and more of them do, that scores are of something else.
_ENOUGH, _SELDOM = 8, 0.5


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
        check_answers(answers)
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
    check_name(name)
    known = functools.partial(_pickled, estimator) if name is None else lambda: name
    said = origin.said_of("scikit-learn", type(estimator), None, "")
    return on_host(_flattened(asked), len(classes), kind, known, said)


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
