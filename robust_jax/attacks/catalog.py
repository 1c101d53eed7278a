"""The attacks by name: what stands on their factories, as a table."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from robust_jax import threats
from robust_jax.core import checks
from robust_jax.core.facts import NEAREST, Facts, Setting
from robust_jax.core.types import Attack

SHORT_BUDGET = 1000  # Forwards and backwards for an example of ten classes.
_SHORT_TARGETS = 3  # Better few targets and more steps than many and few.


class Entry(NamedTuple):
    """What the catalog says of an attack.

    >>> entry = rj.attacks.by_name("ddn")
    >>> entry.finds, entry.sees, entry.steps, entry.short()
    ('minimum norm', 'gradients', 101, ddn(steps=498, gamma=0.05, first_radius=1.0))
    """

    name: str
    make: Callable[..., Attack]  # with the paper's defaults
    paper: str
    norms: tuple[str, ...]
    finds: str  # "fixed budget", or "minimum norm": eps is a cap then
    sees: str  # of the model: gradients, scores or labels
    per_step: tuple[int, int]  # forwards and backwards of one step
    targets: int  # times that it is run, each towards another class
    least_classes: int
    short_setting: tuple[tuple[str, Any], ...]

    @property
    def short(self) -> functools.partial[Attack]:
        """Settings within `SHORT_BUDGET`, all targets together; of minimum norm.

        Raises: ValueError: an attack with a fixed budget.
        """
        if self.finds != NEAREST:
            raise ValueError(
                f"{self.name} has a fixed budget; give minimise_radius such an attack"
            )
        return functools.partial(self.make, **dict(self.short_setting))

    def of_queries(self, queries: int) -> Attack:
        """With as many evaluations as fit in a budget, that of the clean input aside.

        Other settings are the paper's. Args: queries: >= 2 steps' worth.
        Raises: ValueError: an attack that needs gradients, or too few queries.
        """
        if self.sees == "gradients":
            raise ValueError(
                f"attack={self.name} needs gradients; expected one that sees scores or "
                "labels"
            )
        each, parameters = self.per_step[0], inspect.signature(self.make).parameters
        if queries < 2 * each:
            raise ValueError(
                f"queries={queries}; expected at least {2 * each} for {self.name}"
            )
        if "queries" in parameters:  # Square evaluates its start besides.
            extra = self.make(queries=queries).steps - queries
            return self.make(queries=queries - extra)
        if "generations" in parameters:
            return self.make(generations=queries // each)
        return self.make(steps=queries // each - 1)

    @property
    def short_targets(self) -> int:
        """Targets of the settings `short`: the likeliest."""
        return min(self.targets, _SHORT_TARGETS)

    @property
    def steps(self) -> int:
        """Calls of `step` in the default budget."""
        return self.make().steps

    @property
    def cost(self) -> tuple[int, int]:
        """Forwards and backwards, by default, for an example that stays robust.

        The clean forward is among them, once. Of Square in Linf it is an upper bound:
        proposals that change nothing are passed over.
        """
        forwards, backwards = self.per_step
        runs = self.targets * self.steps
        return 1 + runs * forwards, runs * backwards


class Catalog(tuple[Entry, ...]):
    """Entries that print as a table.

    >>> rj.attacks.Catalog(e for e in rj.attacks.list() if e.norms == ("patch",))
    attack           norms  needs   calls  forwards  backwards  paper
    sparse_rs_patch  patch  scores  10000  10001     0          Croce et al., AAAI 2022
    """

    def __repr__(self) -> str:
        titles = ["attack", "norms", "needs", "calls", "forwards", "backwards", "paper"]
        rows = [titles]
        for e in self:
            numbers = [str(n) for n in (e.steps, *e.cost)]
            rows.append([e.name, " ".join(e.norms), e.sees, *numbers, e.paper])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)


def listed(factories: Iterable[Any]) -> Catalog:
    """The attacks on pixels among some objects, by what they find and see."""
    known = [f for f in factories if "facts" in getattr(f, "__dict__", {})]
    entries = [entry for factory in known for entry in _entries(factory)]
    return Catalog(sorted(entries, key=lambda e: (e.finds, e.sees, e.name)))


def found(name: str, catalog: Catalog) -> Entry:
    """The entry of a name.

    Raises: ValueError: an unknown name; the nearest one is suggested.
    """
    known = {entry.name: entry for entry in catalog}
    checks.known_name("attack", name, known)
    return known[name]


def _entries(factory: Any) -> list[Entry]:
    facts: Facts = vars(factory)["facts"]
    if not facts.norms or not set(facts.norms) <= set(threats.NAMES):
        return []  # Of other attacks, or on parameters.
    settings = facts.settings or {factory.__name__: Setting()}
    return [_entry(name, factory, facts, setting) for name, setting in settings.items()]


def _entry(name: str, factory: Any, facts: Facts, setting: Setting) -> Entry:
    given = setting.arguments
    return Entry(
        name,
        functools.partial(factory, **given) if given else factory,
        setting.paper or facts.paper,
        facts.norms,
        facts.finds,
        facts.sees,
        setting.per_step or facts.per_step,
        setting.targets,
        setting.least_classes or facts.least_classes,
        tuple((setting.short or facts.short).items()),
    )
