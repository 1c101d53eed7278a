"""Checks of the report: are its claims true, its numbers counted and supported?"""

import math
from typing import Any

import numpy as np

from robust_jax.core import records
from robust_jax.evaluate.audit.finding import Answer, Measured, check
from robust_jax.evaluate.audit.subject import Bench
from robust_jax.evaluate.claims import margins, predict

_CONFIDENCE = 0.95
# A wider interval spans more than three tenths: not even the first digit is known.
_WIDEST_HALF = 0.15
# Names of float32 in `jax_default_matmul_precision`; others multiply in fewer bits.
_FULL_PRECISION = ("float32", "highest", "F32_F32_F32")
_NAMED = 10  # Examples that a sentence names before it says "and more".


@check(
    4,
    "claims in float64",
    "Project onto ball and box at the end of the attack, and judge by the logits that "
    "another batch layout gives; do not count the named examples.",
)
def claims_in_float64(bench: Bench) -> Measured:
    """Every adversarial example is inside the threat set and is misclassified."""
    claims = bench.subject.claims
    bad = len(claims.outside) + len(claims.unconfirmed) - claims.borderline
    return Measured(claims.passed, float(bad), "0 untrue", f"{claims}.")


@check(
    7,
    "clean errors",
    "Count an example as broken by every stage if the clean model gets it wrong; "
    "robust accuracy is a share of all examples, not of the right ones.",
)
def clean_errors(bench: Bench) -> Measured:
    """What the model gets wrong without an attack counts as broken everywhere."""
    subject = bench.subject
    if subject.samples == 1:
        wrong = margins(subject.logits, subject.labels) >= 0
    else:  # The majority decides, not one answer.
        wrong = ~subject.clean
    miscounted = (wrong == subject.clean) | (wrong != (subject.winner == -2))
    for stage in subject.stages:
        miscounted |= wrong & ~np.asarray(stage.broken)
    bad = np.flatnonzero(miscounted)
    says = f"{wrong.sum()} of {len(wrong)} examples are wrong without an attack"
    says += f" ({_named(np.flatnonzero(wrong))})" if wrong.any() else ""
    if len(bad):
        says += f"; the report counts these otherwise: {_named(bad)}"
    return _none_of(len(bad), "miscounted", says)


@check(
    20,
    "certified <= empirical",
    "A proof or an attack is wrong: check that both mean the same model, radius, norm "
    "and box, then the certifier's rounding.",
)
def certified_below_empirical(bench: Bench) -> Answer:
    """No example is both proved robust and broken."""
    subject = bench.subject
    if subject.certified is None:
        return "No certifier was given."
    certified = np.asarray(subject.certified, bool)
    bad = np.flatnonzero(certified & ~subject.robust)
    says = (
        f"{certified.sum()} examples are certified, {subject.robust.sum()} unbroken, "
        f"{len(bad)} certified and yet broken"
    )
    says += f" ({_named(bad)})" if len(bad) else ""
    return _none_of(len(bad), "contradictions", says)


@check(
    23,
    "interval",
    "Evaluate more examples: half of the interval shrinks as 1 / sqrt(n).",
)
def interval(bench: Bench) -> Measured:
    """The exact interval of robust accuracy, and the digits that n supports.

    References: usual reports. Differs from them in: the digit of the half-width's first
        digit is quoted: 200 images give whole per cents, 10,000 tenths.
    """
    robust, n = int(bench.subject.robust.sum()), len(bench.subject.robust)
    low, high = clopper_pearson(robust, n)
    half = (high - low) / 2
    return Measured(
        half <= _WIDEST_HALF,
        half,
        f"<= {_WIDEST_HALF:g}",
        f"Robust accuracy is {robust} of {n}, 95 % Clopper-Pearson interval "
        f"[{100 * low:.1f}, {100 * high:.1f}] %: write {supported(robust, n)}.",
    )


@check(
    24,
    "budget ledger",
    "Resume the run without a time limit; until then the number is one under a partial "
    "plan, at best an upper bound.",
)
def ledger(bench: Bench) -> Answer:
    """What every stage spent, nothing left undone, no unbroken example spared."""
    subject = bench.subject
    if not subject.stages:
        return "The plan has no stages."
    due = subject.robust.copy()
    if subject.certified is not None:
        due &= ~np.asarray(subject.certified, bool)
    parts, undone, asked = [], 0, np.zeros(len(due), np.int64)
    for stage in subject.stages:
        forwards, backwards = np.asarray(stage.forwards), np.asarray(stage.backwards)
        n = max(len(forwards), 1)
        parts.append(
            f"{stage.name} {forwards.sum() / n:,.0f}/{backwards.sum() / n:,.0f}"
        )
        undone += int(stage.unfinished)
        asked += forwards
    says = f"Forwards/backwards per image: {', '.join(parts)}"
    says += f"; {undone} work items were not finished" if undone else ""
    spared = due & (asked <= 0)  # A rule may spare an example a stage, not a plan.
    if spared.any():
        places = _named(np.flatnonzero(spared))
        says += f"; no stage asked the model about unbroken examples: {places}"
    return _none_of(undone + int(spared.sum()), "undone", says)


@check(
    25,
    "parity record",
    "Set jax.config.update('jax_default_matmul_precision', 'float32'): in fewer bits "
    "an attack sees noise, and a comparison is of two different nets.",
)
def parity_record(bench: Bench, environment: dict[str, Any] | None = None) -> Measured:
    """What a number must be compared with: versions, device, precision, threads.

    A CPU multiplies float32 in float32 unless told otherwise; accelerators default to
    fewer bits. The environment is that of now, if no `records.environment()` is given.
    """
    here = records.environment() if environment is None else environment
    precision = here["default_matmul_precision"]
    is_full = precision in _FULL_PRECISION
    is_full |= precision is None and here["backend"] == "cpu"
    facts = ", ".join(
        f"{name} {here[name]}"
        for name in ("jax", "jaxlib", "backend", "device_kind", "cpu_threads")
    )
    return Measured(
        is_full,
        float(not is_full),
        "float32 products",
        f"{facts}; default matmul precision {precision}, x64 {here['enable_x64']}.",
    )


@check(
    26,
    "8-bit survival (memo)",
    "The model must answer at images on the 8-bit grid: look for divisions by zero "
    "and logarithms in its preprocessing.",
)
def eight_bits(bench: Bench) -> Answer:
    """A memo: how many adversarial examples survive being saved as 8-bit images."""
    subject = bench.subject
    lost = np.flatnonzero(subject.winner >= 0)
    if len(lost) == 0:
        return "There is no adversarial example."
    rounded = np.round(subject.x_adv[lost].astype(np.float64) * 255) / 255
    images = rounded.astype(subject.x_adv.dtype)
    logits = predict(subject.model, images, subject.tile)
    bench.count(len(images))
    nan = ~np.isfinite(logits).all(axis=1)
    share = float(np.mean(margins(logits[~nan], subject.labels[lost][~nan]) >= 0)
                  if (~nan).any() else 0.0)  # fmt: skip
    says = (
        f"{100 * share:.1f} % of {len(lost)} adversarial examples stay adversarial as "
        "8-bit images; a memo, for no threat model here asks for it"
    )
    says += f"; {nan.sum()} have no finite logits then" if nan.any() else ""
    value = float("nan") if nan.any() else share
    return Measured(not nan.any(), value, "finite", f"{says}.")


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """The exact 95 % interval of a binomial proportion; covers at least that often.

    Args:
        successes: in [0, n].
        n: number of examples, >= 1.
    Returns: (low, high); 0 and 1 exactly at the ends.
    References: Clopper & Pearson, Biometrika 26 (1934).
    """
    from scipy import special  # 0.1 s, for two numbers

    tail = (1 - _CONFIDENCE) / 2
    low, high = 0.0, 1.0
    if successes > 0:
        low = float(special.betaincinv(successes, n - successes + 1, tail))
    if successes < n:
        high = float(special.betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def supported(successes: int, n: int) -> str:
    """The proportion in per cent with no more digits than n examples support.

    The last digit's unit is the first digit of the interval's half-width: 200 examples
    know whole per cents at most, 10,000 tenths.
    """
    low, high = clopper_pearson(successes, n)
    decimals = -math.floor(math.log10(50 * (high - low)))
    return f"{round(100 * successes / n, decimals):.{max(decimals, 0)}f} %"


def _named(positions: np.ndarray) -> str:
    more = ", and more" if len(positions) > _NAMED else ""
    return "position " + ", ".join(str(p) for p in positions[:_NAMED]) + more


def _none_of(count: int, what: str, says: str) -> Measured:
    return Measured(count == 0, float(count), f"0 {what}", f"{says}.")
