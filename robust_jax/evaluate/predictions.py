"""What a net answers to clean and to adversarial images, for those who look at them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robust_jax.core.streams import OfPlan
from robust_jax.evaluate.claims import margins, predict
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.evaluation import Evaluation
from robust_jax.evaluate.model import fresh_answers
from robust_jax.evaluate.results import Verdicts


class Predictions(NamedTuple):
    """The answers to N images.

    Of a random net they are of the fresh answers that decided: the class of most of
    them, its share, and the share of wrong ones minus that of right ones.
    """

    predicted: NDArray[np.int64]  # [N] the class of the largest logit
    confidence: NDArray[np.float32]  # [N] its softmax; NaN of logits not finite
    margin: NDArray[np.float32]  # [N] adversarial iff >= 0, or NaN


def predictions(run: Evaluation, found: Verdicts) -> tuple[Predictions, Predictions]:
    """The answers to the clean images, and to what the attacks made of them.

    Costs a forward pass of each image that a stage broke, or of a random net `samples`
    of each image and of each that broke.

    Args:
        run: the evaluation.
        found: by it, images channels last.
    """
    examples, lost = run.examples, np.flatnonzero(found.winner >= 0)
    x_adv, labels = found.x_adv[lost], examples.labels[lost]
    if run.model.is_random:
        clean = _of_a_random_net(run, examples)
        some = Examples(x_adv, labels, examples.ids[lost], examples.logits[lost])
        return clean, _with(clean, lost, lambda: _of_a_random_net(run, some))
    clean = _of_logits(examples.logits, examples.labels)

    def attacked() -> Predictions:
        logits = predict(run.model.logits_fn, x_adv, found.tile)
        return _of_logits(np.asarray(logits, np.float32), labels)

    return clean, _with(clean, lost, attacked)


def _with(
    clean: Predictions, lost: NDArray[np.int64], make: Callable[[], Predictions]
) -> Predictions:
    """The same with other answers at some places."""
    if not len(lost):
        return clean
    made = make()

    def put(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        whole = old.copy()
        whole[lost] = new
        return whole

    return Predictions(
        put(clean.predicted, made.predicted),
        put(clean.confidence, made.confidence),
        put(clean.margin, made.margin),
    )


def _of_logits(logits: NDArray[np.float32], labels: NDArray[np.int32]) -> Predictions:
    predicted = logits.argmax(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):  # Of logits not finite.
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        confidence = powers.max(axis=1) / powers.sum(axis=1)
        margin = margins(logits, labels)
    return Predictions(
        predicted, confidence.astype(np.float32), margin.astype(np.float32)
    )


def _of_a_random_net(run: Evaluation, of: Examples) -> Predictions:
    given = of.images, of.labels, of.ids, run.found.seed
    right, answers = fresh_answers(run.model, *given, OfPlan.VERDICT)
    classes = np.arange(of.logits.shape[1])
    counts = (answers[:, :, None] == classes).sum(axis=0)  # [N, K]
    samples = run.model.samples
    confidence = (counts.max(axis=1) / samples).astype(np.float32)
    margin = ((samples - 2 * right) / samples).astype(np.float32)
    return Predictions(counts.argmax(axis=1), confidence, margin)
