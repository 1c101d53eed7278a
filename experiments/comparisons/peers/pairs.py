"""Which attack of ours stands beside which of theirs: the data of `compare_peers`.

A pair gives both sides the same budget: steps, step size, starts, targets, queries, and
the same objective where the library lets one choose.
"""

from experiments.comparisons.peers import pairs_auto, pairs_projected, pairs_transfer
from experiments.comparisons.peers.pair import Pair

_SHORT, _LONG = 1 / 30, 2.5 / 40  # PGD-40's step: Madry et al.; enough for sparse ones

PAIRS: tuple[Pair, ...] = (
    pairs_projected.one_step("linf"),
    pairs_projected.bim("linf"),
    pairs_projected.pgd("linf", _SHORT),
    pairs_projected.mim("linf"),
    pairs_transfer.di_fgsm(),
    pairs_transfer.ti_fgsm(),
    pairs_transfer.ni_fgsm(),
    pairs_transfer.si_ni_fgsm(),
    pairs_transfer.vmi_fgsm(),
    pairs_transfer.vni_fgsm(),
    pairs_auto.apgd("linf", "ce"),
    pairs_auto.apgd("linf", "dlr"),
    pairs_auto.acg("linf"),
    pairs_auto.square("linf"),
    pairs_auto.square_rescaled("linf"),
    pairs_auto.fab("linf"),
    pairs_auto.apgd_targeted("linf"),
    pairs_projected.one_step("l2"),
    pairs_projected.bim("l2"),
    pairs_projected.pgd("l2", _LONG),
    pairs_projected.mim("l2"),
    pairs_auto.apgd("l2", "ce"),
    pairs_auto.apgd("l2", "dlr"),
    pairs_auto.acg("l2"),
    pairs_auto.square("l2"),
    pairs_auto.square_rescaled("l2"),
    pairs_auto.fab("l2"),
    pairs_auto.apgd_targeted("l2"),
    pairs_projected.pgd("l1", _LONG),
    pairs_projected.slide(),
    pairs_auto.apgd_l1("ce"),
    pairs_auto.apgd_l1("dlr"),
    pairs_auto.square("l1"),
    pairs_auto.fab("l1"),
)


def of_norm(norm: str) -> tuple[Pair, ...]:
    """The pairs of one norm, cheapest first."""
    return tuple(pair for pair in PAIRS if pair.norm == norm)
