"""Which attacks are there, what do they need and what do they cost?

    robust-jax list-attacks
    robust-jax list-attacks --markdown=docs/attacks.md

Prints the catalog; the second command renews the page of the documentation.
"""

import inspect
import re
from typing import Any

from absl import flags

from robust_jax import attacks, report
from robust_jax.attacks import Entry
from robust_jax.commands.shared import common, pages, recording

for _module in (common, pages):
    flags.adopt_module_key_flags(_module)

COLUMNS = (
    report.Column("attack", "attack"),
    report.Column("paper", "paper"),
    report.Column("norms", "norms"),
    report.Column("finds", "finds"),
    report.Column("knowledge", "needs"),
    report.Column("least_classes", "classes, at least"),
    report.Column("budget", "default budget"),
    report.Column("forwards", "forwards"),
    report.Column("backwards", "backwards"),
)
_HEAD = """# Attacks

Written by `robust-jax list-attacks --markdown=docs/attacks.md`.

Forwards and backwards are those of an image with ten classes that stays robust, by the
default budget; an attack stops at its first success. A call evaluates one iterate, then
moves: n moves take n + 1 calls. Every attack passes `contract_test`: feasible, at least
as strong as the clean input, the same numbers from every driver, in any order, subset
and batch; no new trace for new radii, boxes and weights; ranks 1 to 4, non-square
images, 2, 3 and 10 classes; exports for CPU, CUDA and TPU. Norms are those that an
attack is vouched for; under another one it is refused, unless `unvouched=True` says
that this is meant.

"""
_CALLS = """
## Calls

What each attack takes, with its defaults.

"""


def main(argv: list[str]) -> None:
    """Prints the table; writes record and page, or the page in Markdown."""
    if pages.MARKDOWN.value is not None:
        pages.write(pages.MARKDOWN.value, markdown())
        return
    run = recording.Run("list_attacks")
    run.rows = rows()
    print(report.for_terminal(run.rows, COLUMNS))
    run.save("Attacks", f"{len(run.rows)} attacks.", COLUMNS)


def rows() -> list[dict[str, Any]]:
    """One row per attack of the catalog."""
    return [_row(entry) for entry in attacks.list()]


def markdown() -> str:
    """The page of the documentation."""
    cells = ([column.format(row[column.key]) for column in COLUMNS] for row in rows())
    table = pages.table([column.title for column in COLUMNS], cells)
    return _HEAD + table + _CALLS + "".join(f"* `{call}`\n" for call in calls())


def calls() -> list[str]:
    """Of each factory with facts its name, arguments and defaults."""
    named = ((name, getattr(attacks, name)) for name in sorted(dir(attacks)))
    return [name + arguments(value) for name, value in named if has_facts(value)]


def has_facts(value: Any) -> bool:
    """Whether something is a factory of attacks that says what is known of them."""
    return "facts" in getattr(value, "__dict__", {})


def arguments(value: Any) -> str:
    """Names and defaults of what is called, without types; nothing of other values."""
    if not callable(value) or getattr(value, "_is_protocol", False):
        return ""
    try:
        signature = inspect.signature(value)
    except ValueError:  # Of an alias of a type, say.
        return ""
    kept = [
        parameter.replace(annotation=parameter.empty, default=_Default.of(parameter))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


class _Default(str):
    """A default as it is written: of a function its name, of nothing an address."""

    __repr__ = str.__str__

    @classmethod
    def of(cls, parameter: inspect.Parameter) -> Any:
        value = parameter.default
        if value is parameter.empty:
            return value
        text = getattr(value, "__qualname__", repr(value))
        return cls(re.sub(r" at 0x[0-9a-f]+", "", text))


def _row(entry: Entry) -> dict[str, Any]:
    forwards, backwards = entry.cost
    turns = f"{entry.targets} targets of " if entry.targets > 1 else ""
    return {
        "attack": entry.name,
        "paper": entry.paper,
        "norms": " ".join(entry.norms),
        "finds": entry.finds,
        "knowledge": entry.sees,
        "least_classes": entry.least_classes,
        "budget": f"{turns}{entry.steps:,} calls",
        "forwards": forwards,
        "backwards": backwards,
    }
