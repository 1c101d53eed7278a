"""Do other models err on what was made for one? (host)"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial
from numpy.typing import NDArray

from robust_jax.analysis.tiled import tiled
from robust_jax.core.brief import brief, brief_html
from robust_jax.core.closures import as_partial
from robust_jax.core.metrics import Proportion
from robust_jax.core.types import LogitsFn

Images = NDArray[np.floating]  # pixels, [N, *S]
Labels = NDArray[np.integer]  # [N]
PredictFn = Callable[[Images], Labels]  # any model, such as one of scikit-learn
CraftFn = Callable[[LogitsFn, Images, Labels], Images]  # an attack on a batch

_MOST_NOISE = 0.3
_LARGE, _HALVINGS = 64.0, 40


class Row(NamedTuple):
    """Images that were made for one model, or noise."""

    source: str  # the model's name; "" for noise
    attack: str
    distortion: float  # root mean square over pixels, mean over the images
    errors: NDArray[np.bool_]  # [T, N], by target and image

    def __repr__(self) -> str:
        return brief(self)

    def _repr_html_(self) -> str:
        return brief_html(self)


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Which of T target models err on which images of each row."""

    targets: tuple[str, ...]
    rows: tuple[Row, ...]
    clean: NDArray[np.bool_]  # [T, N], right without any change

    __repr__ = brief
    _repr_html_ = brief_html

    def matrix(self, *, common: bool = True) -> list[list[Proportion]]:
        """Error of each target on each row, [R][T].

        Args:
            common: among the images that all targets get right unchanged: else a poor
                target's own errors count as transfer. False takes all images, as
                Szegedy et al. (2014) do.
        Raises: ValueError: no image that all get right.
        """
        among = self.clean.all(axis=0) if common else np.ones(self.clean.shape[1], bool)
        n = int(among.sum())
        if n == 0:
            raise ValueError("no image is read right by all targets; take other models")
        return [
            [Proportion(int(errors[among].sum()), n) for errors in row.errors]
            for row in self.rows
        ]


def transfer_matrix(
    sources: Mapping[str, LogitsFn],
    attacks: Mapping[str, CraftFn],
    images: Images,
    labels: Labels,
    *,
    targets: Mapping[str, PredictFn] | None = None,
    equal_noise: bool = False,
    noise: tuple[float, ...] = (),
    seed: int = 0,
) -> Transfer:
    """Attacks each source by each attack, and shows what comes out to all targets.

    Args:
        sources: nets by name, one example [*S] -> logits [K]; they are targets, too.
        attacks: (logits_fn, images, labels) -> adversarial images, by name.
        images: pixels in [0, 1], shape [N, *S].
        labels: shape [N].
        targets: further models, of any kind, that answer images by classes.
        equal_noise: add, for each of these rows, noise that changes the images as much
            as the row does on average (`noise_of_size`).
        noise: standard deviations of Gaussian noise, cut to [0, 1], a row for each.
        seed: of the noise.
    Returns: rows by source, then attack; as many of equal noise; then noise. Targets:
        sources first.
    Raises: ValueError: an attack that gives images of another shape.
    References: Szegedy et al., "Intriguing properties of neural networks", ICLR 2014,
        Tables 2 and 4.
    """
    answers = {name: predictor(logits_fn) for name, logits_fn in sources.items()}
    answers |= targets or {}

    def wrong(shown: Images) -> NDArray[np.bool_]:
        return np.stack([answer(shown) != labels for answer in answers.values()])

    rows = []
    for source, logits_fn in sources.items():
        for attack, craft in attacks.items():
            shown = np.asarray(craft(logits_fn, images, labels))
            _check_shape(attack, shown, images)
            rows.append(Row(source, attack, distortion(shown, images), wrong(shown)))
    rng = np.random.default_rng(seed)
    for row in tuple(rows) if equal_noise else ():
        shown = noise_of_size(images, row.distortion, rng)
        name = f"noise as {row.source}, {row.attack}"
        rows.append(Row("", name, distortion(shown, images), wrong(shown)))
    for deviation in noise:
        shown = noisy(images, deviation, rng)
        size = distortion(shown, images)
        rows.append(Row("", f"noise {deviation:.3g}", size, wrong(shown)))
    return Transfer(tuple(answers), tuple(rows), ~wrong(images))


def predictor(logits_fn: LogitsFn) -> PredictFn:
    """A net as a function of images that answers by classes, int32 [N]."""
    return tiled(Partial(_answers, as_partial(logits_fn)))


def _answers(logits_fn, batch):
    return jax.vmap(logits_fn)(batch).argmax(axis=-1)


def distortion(shown: Images, images: Images) -> float:
    """Root mean square over the pixels of the change, mean over images.

    Of the size of a Gaussian's standard deviation: Szegedy et al.'s (2014) measure.
    """
    change = (np.asarray(shown, np.float64) - images).reshape(len(images), -1)
    return float(np.sqrt((change**2).mean(axis=1)).mean())


def amplified(shown: Images, images: Images, size: float) -> Images:
    """The same changes scaled to one root mean square, then cut to [0, 1].

    References: Szegedy et al. (2014), Sec. 4.2, for Table 4, whose text has deviation
        0.1; the formula printed there has another scale.
    """
    change = np.asarray(shown, np.float64) - images
    axes = tuple(range(1, change.ndim))
    rms = np.sqrt((change**2).mean(axis=axes, keepdims=True))
    scaled = images + change * size / np.where(rms > 0, rms, 1)
    return scaled.clip(0, 1).astype(np.float32)


def noisy(images: Images, deviation: float, rng: np.random.Generator) -> Images:
    """Images with Gaussian noise on each pixel, cut to [0, 1], float32."""
    noise = rng.normal(0, deviation, images.shape)
    return (images + noise).clip(0, 1).astype(np.float32)


def noise_of_size(images: Images, size: float, rng: np.random.Generator) -> Images:
    """Gaussian noise cut to [0, 1] that changes each image by a root mean square.

    What the box cuts off, on black much of it, is made up for by more noise: a fair
    match for perturbations of that size, which are in the box, too.

    Args:
        images: pixels in [0, 1], shape [N, *S].
        size: of the change, in [0, 0.3]: more may not fit into the box.
        rng: draws the noise.
    Raises: ValueError: a size out of its range.
    """
    if not 0 <= size <= _MOST_NOISE:
        raise ValueError(f"size={size}; expected from 0 to {_MOST_NOISE}")
    noise = rng.normal(size=images.shape)
    axes = tuple(range(1, images.ndim))
    low, high = np.zeros(len(images)), np.full(len(images), _LARGE)
    for _ in range(_HALVINGS):
        middle = ((low + high) / 2).reshape(-1, *([1] * len(axes)))
        change = (images + middle * noise).clip(0, 1) - images
        enough = np.sqrt((change**2).mean(axis=axes)) >= size
        low, high = (
            np.where(enough, low, middle.ravel()),
            np.where(enough, middle.ravel(), high),
        )
    scale = high.reshape(-1, *([1] * len(axes)))
    return (images + scale * noise).clip(0, 1).astype(np.float32)


def _check_shape(attack, shown, images):
    if shown.shape != images.shape:
        raise ValueError(
            f"attack {attack!r} gave images of shape {shown.shape}; expected "
            f"{images.shape}"
        )
