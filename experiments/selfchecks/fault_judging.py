"""What was wrong with how a command ended after a fault."""

import hashlib
import json
import pathlib
import re
from typing import Any

from experiments.selfchecks.children import Outcome
from experiments.selfchecks.fault_kinds import files_of
from experiments.selfchecks.fault_subjects import Subject

BAD = ("wrong", "lost", "tracebacks", "hung")
_STEP = re.compile(r"going on from step ([\d,]+)")


def kept(subject: Subject, place: pathlib.Path) -> dict[str, str]:
    """The digests of the files that a subject goes on from, by their paths."""
    out = place / "out"
    files = files_of([out / name for name in subject.state])
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not path.name.startswith(".")  # Of a write that did not come to its end.
    }


def answer(subject: Subject, place: pathlib.Path) -> Any:
    """A subject's answer; None if it is not there, or not whole."""
    try:
        return subject.answer(place / "out")
    except (OSError, ValueError, KeyError):
        return None


def interrupted(
    subject: Subject, place: pathlib.Path, expected: Any, end: Outcome, before: Any
) -> list[str]:
    """What was bad about an interruption."""
    found = ["tracebacks"] * ("Traceback" in end.err)
    if subject.name == "evaluate" and answer(subject, place) != expected:
        found += _lost(before, kept(subject, place))
    record = place / "out" / "record.json"
    if record.exists():
        try:
            json.loads(record.read_text())
        except ValueError:
            found.append("lost")
    return found


def gone_on(place: pathlib.Path, end: Outcome, newest: int) -> list[str]:
    """Lost, if the command did not go on from the newest checkpoint, to its end."""
    step = _STEP.search(end.out)
    done = int(step.group(1).replace(",", "")) if step else 0
    damaged = list((place / "out").glob("checkpoints/*.damaged"))
    return ["lost"] * (end.code != 0 or done < newest or bool(damaged))


def newest(place: pathlib.Path) -> int:
    """The step of the newest checkpoint."""
    names = [path.name for path in (place / "out" / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def ended(
    subject: Subject, place: pathlib.Path, expected: Any, end: Outcome, before: Any
) -> tuple[str, list[str]]:
    """How an undisturbed command ended (same, refused, other), and what was bad.

    Args:
        before: what was kept before it; a refusal has to leave all of that.
    """
    found = ["tracebacks"] * ("Traceback" in end.err)
    if end.code in (0, 3):  # 3: with claims that do not hold.
        same = answer(subject, place) == expected
        return ("same" if same else "other"), found + ["wrong"] * (not same)
    if end.code == 2:
        told = [line for line in end.err.splitlines() if line.startswith("error: ")]
        found += ["tracebacks"] * (len(told) != 1)
        return "refused", found + _lost(before, kept(subject, place))
    return "other", [*found, "hung" if end.code == -9 else "lost"]


def _lost(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return ["lost"] * (not before.items() <= after.items())
