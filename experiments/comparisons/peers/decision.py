"""Other libraries' attacks that see labels alone, within about so many queries."""

from typing import Any, NamedTuple

import numpy as np

from experiments.comparisons.peers.minimum_norm_settings import peer
from experiments.comparisons.peers.pair import Peer

_PROBES = 100  # HopSkipJump's first round.
_SEARCH = 30  # Queries of a round's bisection and leap, about.
_START = 80  # Of foolbox's start along a line, about.


class QueryPair(NamedTuple):
    """An attack of another library, and ours of the same name."""

    ours: str  # as the catalog has it
    peer: Peer


def of_norm(norm: str, queries: int) -> tuple[QueryPair, ...]:
    """Those of a norm, which mean to ask so many queries of an image.

    The settings are the libraries' own, but for the number of rounds.
    """
    rounds = _rounds(queries)
    found = [
        QueryPair(
            "hop_skip_jump",
            peer(mode, "HopSkipJumpAttack", steps=rounds, constraint=norm),
        )
        for mode in ("foolbox", "foolbox, JAX")
    ]
    art: dict[str, Any] = {"norm": "inf" if norm == "linf" else 2, "verbose": False}
    found.append(
        QueryPair(
            "hop_skip_jump",
            peer("art", "HopSkipJump", **art, max_iter=rounds, batch_size=64),
        )
    )
    found.append(
        QueryPair("geoda", peer("art", "GeoDA", **art, max_iter=queries, batch_size=64))
    )
    if norm == "l2":
        steps = int((queries - _START) / 1.1)  # Each tenth asks twice.
        found.append(
            QueryPair("boundary_attack", peer("foolbox", "BoundaryAttack", steps=steps))
        )
        given: dict[str, Any] = {"targeted": False, "verbose": False}
        found.append(
            QueryPair(
                "sign_opt", peer("art", "SignOPTAttack", **given, query_limit=queries)
            )
        )
    return tuple(found)


def _rounds(queries: int) -> int:
    """As many rounds of HopSkipJump as fit, >= 1."""
    costs = np.cumsum(_PROBES * np.sqrt(np.arange(1, 1_000)) + _SEARCH) + _START
    return max(1, int((costs <= queries).sum()))
