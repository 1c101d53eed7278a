"""The examples of an evaluation, refused with one sentence or ready to be attacked.

Checked in this order: arguments, images, threat, the net on shapes alone, its answers.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from robust_jax.core import array_checks, boxes, checks, closures, layout, lift
from robust_jax.core.ids import example_ids
from robust_jax.core.origin import Origin
from robust_jax.core.types import LogitsFn, Threat
from robust_jax.evaluate.claims import predict
from robust_jax.evaluate.engine import Examples
from robust_jax.evaluate.model import SAMPLES, Model, adapted, admitted
from robust_jax.interop.callbacks import refuse_waiting


class Given(NamedTuple):
    """What a user gave, checked without the net."""

    images: NDArray[np.float32]  # [N, *S], in the box
    labels: NDArray[Any]  # [N] integers
    threat: Threat
    ids: NDArray[np.uint64]  # [N]
    certified: NDArray[np.bool_] | None = None  # [N]


def given(
    images: Any,
    labels: Any,
    threat: Threat,
    ids: Any,
    *,
    certified: Any = None,
    subset: Any = None,
    cap: bool = False,
    said: Origin | None = None,
) -> Given:
    """Images, labels, threat and ids as arrays that fit each other.

    What rounding put beyond the box is put on its face; images and threat are channels
    last, whatever the net takes.

    Args:
        images, labels, threat, ids, certified, subset: see `robustness`.
        cap: the radius caps a minimum-norm attack.
        said: of the net, whose layout the images are in.
    Raises: ValueError, TypeError: see `core.checks` and `core.boxes`; images that look
        as if they were of another layout.
    """
    images = array_checks.batch(images)
    layout.check_shape(said, images.shape)
    n = len(images)
    boxes.check(threat, images.shape, cap=cap)
    array_checks.labels(labels, n)
    labels = np.asarray(labels)
    names = None if ids is None else array_checks.ids(ids, n)
    marks = None if certified is None else array_checks.marks("certified", certified, n)
    threat = lift.without_kept_axes(threat, images)
    if subset is not None:
        some = array_checks.positions("subset", subset, n)
        threat = lift.threat_of(threat, images, some)
        images, labels = images[some], labels[some]
        names = None if names is None else names[some]
        marks = None if marks is None else marks[some]
    single = boxes.inside(images, threat)
    if layout.is_first(said):
        threat, single = layout.threat_to_last(threat, single), layout.to_last(single)
    names = example_ids(single, labels) if names is None else names
    return Given(single, labels, threat, names, marks)


def asked(net: LogitsFn, of: Given, tile: int) -> Examples:
    """The examples with their clean logits.

    Raises: ValueError: answers that are no logits, labels that the net does not have;
        a net that fails when it is asked.
    """
    refuse_waiting(closures.as_partial(net), of.images[0], tile)
    logits = _answers(net, of.images, tile)
    array_checks.clean_logits(logits)
    array_checks.labels(of.labels, len(of.images), logits.shape[1])
    if array_checks.look_like_sigmoids(logits):
        _refuse_sigmoids(net, of, tile)
    labels = of.labels.astype(np.int32)
    return Examples(of.images, labels, of.ids, np.asarray(logits, np.float32))


def checked(
    model: Any,
    images: Any,
    labels: Any,
    threat: Threat,
    ids: Any,
    seed: int,
    tile: int,
    *,
    cap: bool = False,
    takes: str | None = None,
) -> tuple[Model, Examples, Any]:
    """A net of one example, the examples with its answers, and the threat on them.

    Raises: ValueError, TypeError: see `given`, `evaluate.model.adapted` and `asked`.
    """
    checks.seed(seed)
    checks.tile(tile)
    model, said = admitted(model)
    of = given(images, labels, threat, ids, cap=cap, said=said)
    net = adapted(model, of.images, takes, SAMPLES, seed)
    return net, asked(net.logits_fn, of, tile), of.threat


def _answers(net: LogitsFn, images: NDArray[np.float32], tile: int) -> NDArray[Any]:
    try:
        return predict(net, images, tile)
    except jax.errors.JaxRuntimeError as error:  # A model on the host, or no memory.
        last = str(error).strip().splitlines()[-1]
        raise ValueError(
            f"the model failed on the clean images, {min(tile, len(images))} at a "
            f"time: {last}"
        ) from error


def _refuse_sigmoids(net: LogitsFn, of: Given, tile: int) -> None:
    """Raises ValueError if noise, too, is answered by numbers in [0, 1] alone."""
    low, high = of.images.min(), of.images.max()
    noise = np.random.default_rng(0).uniform(low, high, (tile, *of.images.shape[1:]))
    answers = _answers(net, noise.astype(np.float32), tile)
    depends = (answers != answers[0]).any()  # Constant ones may be anything.
    if depends and array_checks.look_like_sigmoids(answers):
        raise ValueError(
            "the model returns a probability for each class (all outputs are in [0, 1] "
            "for every image, and for noise); return the logits before the sigmoid, "
            "since its saturation hides gradients"
        )
