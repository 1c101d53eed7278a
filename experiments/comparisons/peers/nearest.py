"""Minimum-norm attacks of other libraries: run, judged by our net, measured."""

import dataclasses

import numpy as np

from experiments.comparisons.peers.libraries import Libraries, LibraryError
from experiments.comparisons.peers.pair import Peer
from experiments.comparisons.peers.problem import Found, Problem
from robust_jax.core import lift
from robust_jax.core.types import Threat
from robust_jax.evaluate.claims import Claims, confirm, predict

_ORDERS = {"linf": np.inf, "l2": 2, "l1": 1, "l0": 0}
_ROUNDING = 1e-6  # x + (clip(x + delta) - x) leaves the box by an ulp or two.
_BORDER = 1e-4  # Logits of one image differ by less between frameworks.


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one run of a minimum-norm attack found.

    Some attacks stop where a margin is 1e-7, which another framework rounds to the
    other side: `lenient` counts what our net gets right by less than 1e-4, too.
    """

    distances: np.ndarray  # [N] float64, inf where nothing was found
    lenient: np.ndarray  # [N] float64
    forwards: float  # per image
    backwards: float
    seconds: float


def measure(
    peers: Libraries, peer: Peer, problem: Problem, seed: int
) -> Measured | str:
    """Runs an attack of another library; what it found, or the error it raised.

    Args:
        peers: the process of the libraries, which attacks this problem.
        peer: what to run, such as `minimum_norm.of_norm` lists.
        problem: images and net; its threat says the norm, and has no bound.
        seed: of the attack.
    """
    try:
        return measured(problem, peers.run(peer, None, seed))
    except LibraryError as error:
        return str(error)


def measured(problem: Problem, found: Found) -> Measured:
    """What a run found, judged."""
    distances, lenient = judge(problem, found.x_adv)
    cost = found.forwards, found.backwards
    return Measured(distances, lenient, *cost, found.seconds)


def judge(problem: Problem, x_adv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the adversarial images are: `distances` and `lenient` of `Measured`.

    An image counts as it was returned: it must be in the box, and our net must get
    it wrong in a new forward pass (a tie is wrong); else its distance is infinite. What
    rounding alone takes out of the box is clipped before.

    Raises: ValueError: results of another shape.
    """
    if x_adv.shape != problem.images.shape:
        raise ValueError(
            f"x_adv.shape={x_adv.shape}; expected {problem.images.shape}, as the images"
        )
    threat: Threat = problem.threat
    x_adv = x_adv.astype(np.float32)
    inside = np.clip(x_adv, threat.lower, threat.upper, dtype=np.float32)
    x_adv = np.where(np.abs(x_adv - inside) <= _ROUNDING, inside, x_adv)
    checked = confirm(problem.logits_fn, threat, problem.images, x_adv, problem.labels)
    delta = x_adv.astype(np.float64) - problem.images.astype(np.float64)
    flat = delta.reshape(len(delta), -1)
    sizes = np.linalg.norm(flat, ord=_ORDERS[threat.name], axis=1)
    sizes[checked.outside] = np.inf
    distances, lenient = sizes.copy(), sizes
    distances[checked.unconfirmed] = np.inf
    lenient[checked.unconfirmed[_shortfall(problem, x_adv, checked) >= _BORDER]] = (
        np.inf
    )
    return distances, lenient


def _shortfall(problem: Problem, x_adv: np.ndarray, checked: Claims) -> np.ndarray:
    """By how much the true logit leads at what was not confirmed."""
    at = checked.unconfirmed
    if len(at) == 0:
        return np.zeros(0)
    logits = predict(problem.logits_fn, x_adv[at], lift.TILE).astype(np.float64)
    is_own = np.arange(logits.shape[1]) == problem.labels[at, None]
    others = np.where(is_own, -np.inf, logits).max(axis=1)
    return logits[is_own] - others
