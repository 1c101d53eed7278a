"""The box of a threat beside a user's images: its shape, its width, who is outside.

On the host. A box is in the units of the images, whatever they are: a radius is too
large if it is wider than the box, and a pixel is outside by more than rounding or not
at all.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from robust_jax.core import array_checks, checks, faces
from robust_jax.core.types import ParametricThreat, Threat

# Images that were normalised in their own type, and a box in float64 from the same
# numbers, differ by this many units of the last place, and by a quarter of it mostly.
_UNITS = 4


def check(threat: Threat, shape: tuple[int, ...], *, cap: bool = False) -> None:
    """Raises ValueError for a radius or a box that does not fit images.

    Args:
        threat: `eps` a radius or one per image; `lower` and `upper` a number, what
            broadcasts to an image, or one box per image.
        shape: of the images, [N, *S].
        cap: the radius caps a minimum-norm attack: inf is allowed, and all of the box.
    Raises: TypeError: what is no threat.
    """
    check_kind(threat)
    array_checks.eps(threat.name, threat.eps, cap=cap, most=np.inf)
    radii = np.asarray(threat.eps, np.float64)
    if radii.shape not in ((), shape[:1]):
        raise ValueError(
            f"eps.shape={radii.shape}; expected one radius, or one per image: "
            f"({shape[0]},); one per pixel or channel is threats.Linf(eps, scale=...)"
        )
    if isinstance(threat, ParametricThreat):  # Its box is that of parameters.
        return
    lower, upper = (_face(threat, side, shape) for side in ("lower", "upper"))
    if (lower > upper).any():
        raise ValueError(
            f"lower={_span(lower)} and upper={_span(upper)} of the threat's box; "
            "expected lower <= upper"
        )
    _check_parts(threat, shape)
    if not cap:
        width = upper - lower
        full = (len(width), *shape[1:]) if width.ndim == len(shape) else shape[1:]
        width = np.broadcast_to(width, full).reshape(-1, *shape[1:])
        most, of = threat.largest(width)
        if most > 0:  # In a closed box nothing moves, whatever the radius.
            array_checks.within("eps", np.atleast_1d(radii), most, of)


def _check_parts(threat: Threat, shape: tuple[int, ...]) -> None:
    """Raises ValueError for a mask, a scale or a lattice that does not fit images."""
    parts = faces.given(threat)
    for name in {"mask", "scale"} & set(parts):
        made = np.asarray(parts[name])
        value = made.astype(np.uint8) if made.dtype == bool else made
        if (_face_of(name, value, shape) < 0).any():
            raise ValueError(
                f"{name} of the threat holds {made.min():g}; expected >= 0"
            )
    if "lattice" in parts:
        steps = 1 / np.asarray(parts["lattice"], np.float64)
        if steps.ndim or not steps >= 1 or abs(steps - np.rint(steps)) > 1e-3:
            raise ValueError(
                f"lattice={checks.shown(parts['lattice'])}; expected a step whose "
                "inverse is an integer, such as 1 / 255"
            )


def check_kind(threat: Threat) -> None:
    """Raises TypeError for what is no threat with its radius."""
    wanted = ("name", "eps", "lower", "upper", "project", "replace")
    if isinstance(threat, type) or not all(hasattr(threat, name) for name in wanted):
        raise TypeError(
            f"threat={checks.shown(threat)}; expected one with its radius, such as "
            "threats.Linf(8 / 255)"
        )


def inside(
    images: NDArray[Any], threat: Threat, names: str = "images"
) -> NDArray[np.float32]:
    """Images in float32, with what rounding put beyond the box on its face.

    Raises: ValueError: NaN or inf; a pixel outside the box, which is named.
    """
    kind = images.dtype if checks.is_floating(images.dtype) else np.float32
    unit = max(float(jnp.finfo(kind).eps), float(np.finfo(np.float32).eps))
    single = images.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
        first = int(np.argwhere(~np.isfinite(single))[0][0])
        raise ValueError(
            f"{names}[{first}] holds NaN or inf; remove or repair this example"
        )
    if isinstance(threat, ParametricThreat):
        return single
    lower, upper = (np.asarray(b, np.float64) for b in (threat.lower, threat.upper))
    size = np.maximum(*(np.abs(np.where(np.isinf(b), 0, b)) for b in (lower, upper)))
    slack = _UNITS * unit * size
    low, high = (b.astype(np.float32) for b in (lower - slack, upper + slack))
    outside = (single < low) | (single > high)
    if outside.any():
        raise ValueError(_said(names, single, outside, lower, upper))
    lattice = getattr(threat, "lattice", None)
    if lattice is not None and not on_lattice(single, lattice).all():
        raise ValueError(
            f"{names} are not on the threat's lattice of steps {float(lattice):.6g}; "
            "round them, or leave lattice out"
        )
    if lattice is not None:
        steps = np.rint(1 / np.float32(lattice)).astype(np.float32)
        single = np.rint(single * steps) / steps
    low, high = lower.astype(np.float32), upper.astype(np.float32)
    is_beyond = (single < low).any() or (single > high).any()
    return np.clip(single, low, high) if is_beyond else single


def _said(
    names: str,
    images: NDArray[np.float32],
    outside: NDArray[np.bool_],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> str:
    """A sentence on the pixel that is furthest outside."""
    low, high = (np.broadcast_to(b, images.shape) for b in (lower, upper))
    places = np.argwhere(outside)
    beyond = np.maximum(low[outside] - images[outside], images[outside] - high[outside])
    at = tuple(int(i) for i in places[np.argmax(beyond)])
    pixel = ", ".join(map(str, at[1:]))
    return (
        f"{names}[{at[0]}][{pixel}]={images[at]:.9g} is outside the threat's box "
        f"[{low[at]:.9g}, {high[at]:.9g}] by {beyond.max():.3g} ({len(places):,} of "
        f"{images.size:,} values are); give the threat the box of your images (lower=, "
        "upper=), "
        "or scale them to the box and put the normalisation inside the model"
    )


def _face(threat: Threat, side: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One side of the box in float64, of a shape that fits."""
    return _face_of(side, getattr(threat, side), shape)


def _face_of(side: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    wanted = f"a number, or what broadcasts to an image {shape[1:]}"
    face = array_checks.numbers_of(side, value, wanted)
    if np.isnan(face).any():
        raise ValueError(f"{side} of the threat's box holds NaN; expected {wanted}")
    full = shape if face.ndim == len(shape) else shape[1:]
    try:
        fits = np.broadcast_shapes(face.shape, full) == full
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{side}.shape={face.shape} of the threat's box; expected {wanted}, or one "
            f"per image, {shape}"
        )
    return face


def _span(face: NDArray[np.float64]) -> str:
    if face.size == 1:
        return f"{face.item():g}"
    return f"{face.min():g} to {face.max():g}"


def on_lattice(images: NDArray[np.float32], lattice: Any) -> NDArray[np.bool_]:
    """Which pixels are values of a lattice, up to rounding."""
    step, wide = float(np.asarray(lattice)), images.astype(np.float64)
    away = np.abs(wide - np.rint(wide / step) * step)
    return np.asarray(away <= 2 * np.spacing(np.abs(images)) + 1e-7 * step)
