"""What a check is: a question with a number and a name, and the finding it ends in."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from robust_jax.evaluate.audit.subject import Bench, Subject

PASS, FLAG, SKIPPED = "pass", "flag", "skipped"


class Finding(NamedTuple):
    """The answer of one check.

    >>> finding = rj.evaluate.Finding(1, "repeats", "pass", 0.0, "0", "Equal.", "None.")
    >>> finding.name, finding.verdict
    ('repeats', 'pass')
    """

    number: int  # of the check
    name: str
    verdict: str  # PASS, FLAG or SKIPPED
    value: float  # what was measured; NaN if skipped
    limit: str  # such as "<= 0.002"; what passes
    says: str  # one sentence: what was measured, or why nothing was
    remedy: str  # one sentence: what to do where it is flagged
    points: int = 0  # examples of the bench that was looked at


class Measured(NamedTuple):
    """What a check measured, with the fields of its finding."""

    passes: bool
    value: float
    limit: str
    says: str
    points: int = 0  # of the plan, where these were looked at and not the bench's


Answer = Measured | str  # The sentence says why nothing was measured.


@dataclasses.dataclass(frozen=True)
class Check:
    """One question of an audit; see `check`."""

    ask: Callable[..., Answer]  # of a bench
    number: int
    name: str
    remedy: str
    none_right: str | None
    known: Callable[[Subject], object]

    def __call__(self, bench: Bench, *given: object) -> Finding:
        """The finding at the points of a bench."""
        if self.none_right is not None and not len(bench):
            answer: Answer = self.none_right
        else:
            answer = self.ask(bench, *given)
        if isinstance(answer, str):
            return self.unasked(answer)._replace(name=self.name)
        passes, value, limit, says, points = answer
        known = self.number, self.name, PASS if passes else FLAG, value
        return Finding(*known, limit, says, self.remedy, points)

    def unasked(self, says: str) -> Finding:
        """The finding where the check was not asked, or did not come to its end."""
        name = self.__name__.replace("_", " ")
        return Finding(self.number, name, SKIPPED, float("nan"), "", says, "")

    @property
    def __name__(self) -> str:
        return self.ask.__name__


def check(
    number: int,
    name: str,
    remedy: str,
    *,
    none_right: str | None = None,
    known: Callable[[Subject], object] = lambda subject: None,
) -> Callable[[Callable[..., Answer]], Check]:
    """A decorator: a function of a bench becomes the check of that number.

    Args:
        number: under which it is asked, listed and documented.
        name: of its findings.
        remedy: one sentence: what to do where it is flagged.
        none_right: what a check of points says where no example is right without an
            attack; it is then skipped. None for a check that asks in any case.
        known: the answer that an evaluation holds already, which costs nothing; None
            where it holds none.
    """
    return lambda ask: Check(ask, number, name, remedy, none_right, known)


def checks_of(*modules: object) -> tuple[Check, ...]:
    """The checks of some modules, by number."""
    everything = (value for module in modules for value in vars(module).values())
    found = (value for value in everything if isinstance(value, Check))
    return tuple(sorted(found, key=lambda check: check.number))
