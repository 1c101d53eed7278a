"""Images, labels, ids, radii and logits: refused with one sentence; see `checks`.

The host layer asks before anything runs. Nothing is repaired silently.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust_jax.core import checks

# Softmax outputs sum to one, in bfloat16 within 2**-8; logits practically never do.
_SIMPLEX_TOLERANCE = 2.0**-7
_SURE = 0.5  # Sigmoids of a net that says yes to anything exceed it.


def eps(norm: str, value: Any, *, cap: bool = False, most: float = 1.0) -> None:
    """Raises ValueError for a radius that no attack can use.

    Args:
        norm: "linf", "l2", "l1", "l0" or "patch".
        value: the radius or radii, in the units of the images and their box;
            coordinates for l0; a patch's side in pixels.
        cap: the radius caps a minimum-norm attack, so inf is allowed.
        most: of linf, the width of the threat's box.
    """
    radii = np.atleast_1d(numbers_of("eps", value, "a radius, or one per image"))
    bad = np.isnan(radii) | (radii < 0) | (np.isinf(radii) & (not cap))
    if bad.any():
        raise ValueError(
            f"eps={radii[bad][0]:g}; expected a finite radius >= 0 in pixel units"
        )
    if norm == "linf" and not cap:
        within("eps", radii, most, f"the width {most:g} of the threat's box")
    part = radii[(radii != np.floor(radii)) & np.isfinite(radii)]
    if norm in ("l0", "patch") and part.size and not cap:
        unit = "pixels along a side" if norm == "patch" else "coordinates"
        raise ValueError(f"eps={part[0]:g} with {norm}; expected a number of {unit}")


def within(name: str, radii: NDArray[Any], most: float, of: str) -> None:
    """Raises ValueError for a radius so large that any image is within it."""
    if (radii > most).any():
        big = radii[radii > most][0]
        raise ValueError(
            f"{name}={big:g} exceeds {of}, so that any image would do; give the radius "
            "in the units of your images, and the box (lower=, upper=) that they are in"
        )


def array(name: str, value: Any, wanted: str) -> NDArray[Any]:
    """A value as an array of numbers or names, no copy of one.

    Raises: ValueError: a masked array, and whatever is no array.
    """
    if np.ma.isMaskedArray(value):
        raise ValueError(
            f"{name} is a masked array, whose mask nothing would look at; expected "
            f"{wanted}; leave masked entries out, or fill them with .filled(...)"
        )
    try:
        made = np.asarray(value)
    except Exception as error:  # Whatever a foreign object raises.
        raise ValueError(
            f"{name} of type {type(value).__name__}; expected {wanted}"
        ) from error
    if made.dtype == object or (made.dtype.kind in "SUMm" and made.ndim == 0):
        raise ValueError(f"{name}={checks.shown(value)}; expected {wanted}")
    return made


def numbers_of(name: str, value: Any, wanted: str) -> NDArray[np.float64]:
    """Real numbers in float64.

    Raises: ValueError: what holds none.
    """
    made = array(name, value, wanted)
    is_real = checks.is_floating(made.dtype) or made.dtype.kind in "iu"
    if not is_real:
        raise ValueError(f"{name}={checks.shown(value)}; expected {wanted}")
    return made.astype(np.float64)


def batch(value: Any) -> NDArray[Any]:
    """A user's images as an array, of whatever numbers.

    Raises: ValueError: no batch of one image or more.
    """
    made = array("images", value, "floats of shape [B, *S]")
    if made.ndim < 2 or made.size == 0:
        raise ValueError(
            f"images.shape={made.shape}; expected a non-empty batch [B, *S]; "
            "add a leading axis to a single example"
        )
    return floats("images", made)


def floats(name: str, made: NDArray[Any]) -> NDArray[Any]:
    """An array as it is.

    Raises: ValueError: it holds no floats.
    """
    if not checks.is_floating(made.dtype):
        raise ValueError(
            f"{name}.dtype={made.dtype}; expected floats; convert with "
            f"{name}.astype('float32'), and scale them as the model wants them"
        )
    return made


def labels(
    value: Any, n: int, num_classes: int | None = None, name: str = "labels"
) -> None:
    """Raises ValueError unless `value` holds n integer labels in [0, num_classes)."""
    made = array(name, value, f"{n} integers, one class index per image")
    if made.shape != (n,):
        one_hot = made.ndim == 2 and made.shape[0] == n
        instead = f"; of rows by class take {name}.argmax(axis=1)" if one_hot else ""
        raise ValueError(
            f"{name}.shape={made.shape}; expected ({n},), one class index per image"
            f"{instead}"
        )
    if not np.issubdtype(made.dtype, np.integer):
        raise ValueError(
            f"{name}.dtype={made.dtype}; expected integers; "
            f"convert class indices with {name}.astype('int32')"
        )
    if num_classes is None:
        return
    bad = (made < 0) | (made >= num_classes)
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(
            f"{name}[{first}]={made[first]} for a model with {num_classes} outputs; "
            f"expected 0 to {num_classes - 1}; check the labels and the model's head"
        )


def ids(value: Any, n: int) -> NDArray[np.uint64]:
    """Names of n examples as uint64.

    Raises: ValueError: not n integers from 0 to 2**64 - 1.
    """
    made = array("ids", value, f"{n} integers, one per image")
    if made.shape != (n,):
        raise ValueError(f"ids.shape={made.shape}; expected ({n},), one each")
    if not np.issubdtype(made.dtype, np.integer):
        raise ValueError(
            f"ids.dtype={made.dtype}; expected integers, as others would become equal"
        )
    if (made < 0).any():
        raise ValueError(f"ids hold {made.min()}; expected integers >= 0")
    return made.astype(np.uint64)


def marks(name: str, value: Any, n: int) -> NDArray[np.bool_]:
    """A yes or no for each of n examples.

    Raises: ValueError: not n booleans.
    """
    made = array(name, value, f"{n} booleans, one per image")
    if made.shape != (n,) or made.dtype != bool:
        raise ValueError(
            f"{name} of {made.dtype} and shape {made.shape}; expected booleans of "
            f"shape ({n},), one per image"
        )
    return made


def positions(name: str, value: Any, n: int) -> NDArray[np.int64]:
    """What NumPy's indexing takes of n examples, as their numbers.

    Raises: ValueError: what is no index of them, or takes none.
    """
    try:
        some = np.atleast_1d(np.arange(n)[value])
    except Exception as error:  # Of NumPy, or of a foreign object.
        raise ValueError(
            f"{name}={checks.shown(value)}; expected indexes of {n} images: integers, "
            "a mask or a slice"
        ) from error
    if some.ndim != 1 or some.size == 0:
        raise ValueError(
            f"{name}={checks.shown(value)}; expected one of {n} images or more"
        )
    return some


def class_count(shape: tuple[int, ...]) -> None:
    """Raises ValueError unless outputs of a shape, of one example, are [K], K >= 2."""
    if len(shape) != 1 or shape[0] < 2:
        raise ValueError(
            f"the model gave outputs of shape {shape} per example; expected [K] logits "
            "with K >= 2; of two classes with one logit z return [-z/2, z/2]"
        )


def clean_logits(value: Any) -> None:
    """Raises ValueError unless `value` [B, K] are finite logits, not probabilities."""
    logits = np.asarray(value, np.float32)
    class_count(logits.shape[1:])
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"the model's logits at clean image {first} are not finite; mend the model "
            "or its weights before any robustness is measured"
        )
    sums_to_one = np.abs(logits.sum(axis=1) - 1) < _SIMPLEX_TOLERANCE
    if (logits >= 0).all() and sums_to_one.all():
        raise ValueError(
            "the model returns probabilities (each row is >= 0 and sums to 1); return "
            "the logits before the softmax, since its saturation hides gradients"
        )


def look_like_sigmoids(logits: NDArray[Any]) -> bool:
    """Whether all of [B, K] are in [0, 1], and some of them sure."""
    return bool((logits >= 0).all() and (logits <= 1).all() and logits.max() > _SURE)
