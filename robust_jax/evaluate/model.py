"""The user's net as the engine wants it: a function of one example, float32 logits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.core import (
    checks,
    closures,
    compiling,
    drive,
    layout,
    lift,
    origin,
    outputs,
)
from robust_jax.core.memo import memoised
from robust_jax.core.origin import Origin
from robust_jax.core.streams import OfPlan
from robust_jax.core.types import Array, Key
from robust_jax.interop import per_example
from robust_jax.interop.modules import as_function

TAKES = ("example", "batch", "example and key")
SAMPLES = 100  # Answers of a random net, unless the user says otherwise.


class Model(NamedTuple):
    """A net in the forms that an evaluation needs; images are channels last."""

    logits_fn: Partial  # [*S] -> [K] float32, of one example; of (x, key) if random
    batch_fn: Partial | None  # [B, *S] -> [B, K], if the user gave that
    samples: int  # answers that a random net's verdict is the majority of; else 1
    origin: Origin | None = None  # what is said of the user's net, its layout too

    @property
    def is_random(self) -> bool:
        """Whether the net answers by (x, key)."""
        return self.samples > 1

    def outward(self, images: Any, lead: int = 1) -> Any:
        """Images in the layout of the user's net; see `core.layout`."""
        is_first = layout.is_first(self.origin)
        return layout.to_first(images, lead) if is_first else images

    def inward(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images of the user's as they are inside."""
        return layout.to_last(images) if layout.is_first(self.origin) else images


def admitted(model: Any, name: str = "model") -> tuple[Any, Origin | None]:
    """A user's net as a function, and what is said of it.

    Raises: ValueError: it is another net than the one that it was imported from.
    """
    model = as_function(model)
    said = origin.of(model)
    parity = None if said is None else said.parity
    if said is not None and parity is not None and not parity.is_admitted:
        raise ValueError(
            f"{name} is not the net that it was imported from, {said}; expected logits "
            f"within {origin.CLOSE:g}; mend the import, or pass "
            "interop.despite_parity(model) to judge it as it is"
        )
    return model, said


def adapted(
    model: Any,
    images: Any,
    takes: str | None,
    samples: int,
    seed: int,
    *,
    name: str = "model",
) -> Model:
    """A net as functions of one example, checked against what it is declared to take.

    Guarantees: it is the net as it is now; see `core.closures`.

    Args:
        model: see `takes`; weights that are data (`jax.tree_util.Partial`) stay data.
            A module of NNX, Equinox or Linen, the last one bound to its variables, is
            taken in inference mode.
        images: shape [N, *S], channels last whatever the net takes, to ask for shapes;
            the net is not run.
        takes: "example", [*S] -> [K]; "batch", [B, *S] -> [B, K]; "example and key",
            (x, key) -> [K], a random net, whose answer without a key is the mean of
            `samples` fixed ones. None: an example, or else a batch.
        samples: of a random net, >= 2.
        seed: of the fixed answers.
        name: of the argument, for errors.
    Raises: TypeError: no function, or a module of Linen without its variables.
        ValueError: an unknown `takes`; a net that cannot be traced; outputs that are no
        [K] logits.
    """
    if takes is not None and (not isinstance(takes, str) or takes not in TAKES):
        raise ValueError(
            f"takes={checks.shown(takes)}; expected one of {', '.join(TAKES)}"
        )
    checks.positive_integer("samples", samples)
    checks.seed(seed)
    model = as_function(model)
    said = origin.of(model)
    outputs.check_callable(name, model)
    is_turned = layout.is_first(said) and layout.is_image(images)
    given = layout.with_last(model) if is_turned else drive.as_partial(model)
    shape = np.shape(images)[1:]
    one = np.zeros(shape, np.float32)
    if takes in (None, "example"):
        try:
            outputs.check(given, one, takes="example")
        except ValueError:
            if takes is not None or not _takes_batches(given, one):
                raise
            takes = "batch"
        else:
            return Model(_settled(given, one), None, 1, said)
    if takes == "batch":
        outputs.check(given, np.stack([one, one]), takes=takes)
        return Model(_settled(per_example(given), one), given, 1, said)
    if samples < 2:
        raise ValueError(f"samples={samples}; a random net needs at least 2 answers")
    keys = jax.random.split(jax.random.key(seed, impl="threefry2x32"), samples)
    outputs.check(given, one, keys[0], takes=takes)
    given = closures.as_of_now(given, one, keys[0])
    return Model(Partial(_random_answer, given, keys), None, samples, said)


def _takes_batches(model: Partial, one: np.ndarray) -> bool:
    """Whether a net that takes no example takes batches of them, which is said."""
    batches = (np.stack([one] * n) for n in (2, 3))
    if not all(outputs.gives_logits(model, batch) for batch in batches):
        return False
    said = "the model takes no single example but batches, and is given such"
    logging.log_first_n(logging.WARNING, said, 1)
    return True


def is_as_it_was(model: Model, x: np.ndarray) -> bool:
    """Whether a net's batch form, called now, is still the net that was settled.

    Args:
        model: see `adapted`; one without a batch form is settled whole.
        x: one image.
    """
    if model.batch_fn is None:
        return True
    now = _settled(per_example(model.batch_fn), x)
    ours: Any = jax.tree.structure(model.logits_fn)
    if jax.tree.structure(now) != ours:
        return False
    return all(map(_same, jax.tree.leaves(now), jax.tree.leaves(model.logits_fn)))


def _same(one: Any, other: Any) -> bool:
    if jax.dtypes.issubdtype(getattr(one, "dtype", None), jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.array_equal(np.asarray(one), np.asarray(other))


def classes_of(logits_fn: Partial, x: np.ndarray) -> int:
    """How many logits a net gives for one image; it is not run."""
    return int(outputs.shapes(logits_fn, x).shape[0])


def fresh_right(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    ids: np.ndarray,
    seed: int,
    stage: OfPlan,
) -> np.ndarray:
    """How many of `model.samples` fresh answers of a random net are right, [N] int.

    See `fresh_answers`.
    """
    return fresh_answers(model, images, labels, ids, seed, stage)[0]


def fresh_answers(
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    ids: np.ndarray,
    seed: int,
    stage: OfPlan,
) -> tuple[np.ndarray, np.ndarray]:
    """`model.samples` fresh answers of a random net to each of N images.

    A tie of logits counts as wrong. The answers do not depend on those that an attack
    has seen, nor on the other examples.

    Args:
        stage: of the keys.
    Returns: how many are right, [N] int; the classes, [samples, N] int.
    """
    right = np.zeros(len(images), int)
    answers = np.zeros((model.samples, len(images)), int)
    program, logits_fn = _answers(), drive.as_partial(model.logits_fn)
    for draw in range(model.samples):
        data = lift.item_key_data(seed, ids, stage=stage, restart=draw)
        for index, real in lift.tiles(len(images)):
            rows = data[index], images[index], labels[index]
            is_right, answer = map(np.asarray, program(logits_fn, *rows))
            right[index[:real]] += is_right[:real]
            answers[draw, index[:real]] = answer[:real]
    return right, answers


@memoised
def _answers() -> Any:
    def answered(logits_fn, key_data, x, label):
        key = jax.random.wrap_key_data(key_data, impl="threefry2x32")
        logits = logits_fn(x, key)
        is_label = jnp.arange(len(logits)) == label
        is_right = logits[label] > jnp.max(jnp.where(is_label, -jnp.inf, logits))
        return is_right, jnp.argmax(logits)

    return compiling.compiled(jax.vmap(answered, (None, 0, 0, 0)))


def _random_answer(model: Any, keys: Key, x: Array, key: Key | None = None) -> Array:
    if key is not None:
        return jnp.asarray(model(x, key), jnp.float32)
    answers = jax.vmap(lambda key: model(x, key))(keys)
    return jnp.mean(jnp.asarray(answers, jnp.float32), axis=0)


def _settled(logits_fn: Any, x: np.ndarray) -> Partial:
    """A net as it is now, with logits in float32."""
    return closures.as_of_now(Partial(_in_float32, drive.as_partial(logits_fn)), x)


def _in_float32(logits_fn: Any, x: Array) -> Array:
    return logits_fn(x).astype(jnp.float32)
