"""Where a search of L-BFGS-B goes, in NumPy, by the Hessian itself.

Byrd et al. (SIAM J. Sci. Comput. 1995) with the approximate Cauchy point that
`optim.lbfgsb.update` describes, and the projection of Morales & Nocedal (ACM TOMS
2011). No compact form: B is a dense matrix.
"""

import numpy as np

_ENOUGH = 1e-2


def aim(matrix, theta, x, grad, lower, upper):
    """The point at step 1, and the names of the branches that led to it."""
    z, branches = _cauchy(matrix, theta, x, grad, lower, upper)
    start = x + z
    free = (start > lower) & (start < upper)
    if not np.any(z):
        at_a_face = ((x == lower) & (grad > 0)) | ((x == upper) & (grad < 0))
        free = ~at_a_face
    way = np.zeros_like(x)
    pull = grad + matrix @ z
    way[free] = -np.linalg.solve(matrix[np.ix_(free, free)], pull[free])
    projected = np.clip(start + way, lower, upper)
    if grad @ (projected - x) < 0:
        return projected, branches | {"projected"}
    faces = np.where(way > 0, upper, lower)
    moves = way != 0
    share = min([1.0, *((faces - start)[moves] / way[moves])])
    cut = start + share * way
    if grad @ (cut - x) < 0:
        return cut, branches | {"cut"}
    return np.clip(x - grad / theta, lower, upper), branches | {"plain"}


def _cauchy(matrix, theta, x, grad, lower, upper):
    """The displacement, and whether Newton's step was tried as it is or shortened."""

    def at(t):
        z = np.clip(x - t * grad, lower, upper) - x
        return z, grad @ z + z @ matrix @ z / 2

    t = 1 / theta
    z, value = at(t)
    inside = (x - t * grad > lower) & (x - t * grad < upper)
    d = np.where(inside, -grad, 0)
    slope, bend = d @ (grad + matrix @ z), d @ matrix @ d
    wish = t - slope / bend if bend > 0 else t
    other, other_value = at(min(max(wish, 0.1 * t), 10 * t))
    branches = {"long"} if wish > 10 * t else {"short"} if wish < 0.1 * t else set()
    if other_value < value:
        z, value, branches = other, other_value, branches | {"newton"}
    if value > _ENOUGH * (grad @ z):
        return np.zeros_like(x), branches | {"stays"}
    return z, branches
