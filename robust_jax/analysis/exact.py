"""The nearest adversarial point of an affine net, exactly: what attacks are held to."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Vector = NDArray[np.floating]


def nearest_of_affine(kernel: Vector, bias: Vector, x: Vector, target: int) -> Vector:
    """The point nearest to x, in L2 and the box, that an affine net sees as `target`.

    A quadratic program of one inequality for each other class. Its dual has as many
    variables, a concave objective and multipliers >= 0 as its only constraints: for
    given multipliers the point is x, moved along their sum of normals, cut to the box.
    Edge cases: x itself where it is seen as the target already.

    Args:
        kernel: shape [n, K], as of `flax.linen.Dense`.
        bias: shape [K].
        x: shape [n], values in [0, 1].
        target: the class, which must be reachable in the box.
    Returns: float64, shape [n]; the target's margin is 0 there, to about 1e-6.
    Raises: ValueError: no point of the box is seen as the target.
    """
    start = np.asarray(x, np.float64)
    normals = np.asarray(kernel, np.float64)
    normals = np.delete(normals[:, [target]] - normals, target, axis=1)
    offset = np.asarray(bias, np.float64)
    offset = np.delete(offset[target] - offset, target)
    size = np.linalg.norm(normals, axis=0)  # Distances as multipliers' unit.
    normals, offset = normals / size, offset / size

    def point(multipliers: Vector) -> Vector:
        return np.clip(start + normals @ multipliers, 0, 1)

    def dual(multipliers: Vector) -> tuple[float, Vector]:
        moved = point(multipliers)
        margins = moved @ normals + offset
        value = 0.5 * np.sum((moved - start) ** 2) - multipliers @ margins
        return -value, margins

    found = optimize.minimize(
        dual,
        np.zeros(len(offset)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(offset),
        options={"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-8},
    )
    nearest = point(found.x)
    short = -(nearest @ normals + offset).min()
    if short > 1e-4 * max(1.0, float(np.abs(offset).max())):
        raise ValueError(
            f"target={target} is short of {short:g} at the nearest point found; no "
            "point of the box is seen as it; choose another class"
        )
    return nearest
