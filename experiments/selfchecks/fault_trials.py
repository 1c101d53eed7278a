"""One fault after the other: what ran, and how it ended."""

import pathlib
import shutil
import time
from typing import Any

import numpy as np

from experiments.selfchecks import fault_judging, fault_kinds
from experiments.selfchecks.children import Children, Outcome
from experiments.selfchecks.fault_hooks import Fault
from experiments.selfchecks.fault_subjects import NET, NET_COMMAND, SUBJECTS, Subject

KINDS = (*fault_kinds.INTERRUPTIONS, *fault_kinds.DAMAGE, "exchange")
_CHAIN = 3  # Interruptions of one run, at most.
_SHARES = (0.3, 0.5, 0.7)  # Of a run's seconds, when it is stopped to have its state.
_LAST = 4  # Touches before the end, as far as which it is killed.


class TrialRunner:
    """Disturbs runs of all subjects, from states that undisturbed runs had on the way.

    Args:
        server: runs commands.
        folder: is filled.
        names: of the subjects.
    """

    def __init__(self, server: Children, folder: pathlib.Path, names: set[str]) -> None:
        self._server, self._folder = server, folder
        self._whole_run(NET_COMMAND, folder / "net")
        shutil.copyfile(folder / "net" / "out" / "model.safetensors", folder / NET)
        self._subjects = {s.name: s for s in SUBJECTS if s.name in names}
        self._expected: dict[str, Any] = {}
        self._length: dict[str, tuple[int, float]] = {}  # Touches and seconds.
        self._states = {  # Of its own and of other settings.
            name: [
                self._prepared(subject, number)
                for number in range(1 + len(subject.others))
            ]
            for name, subject in self._subjects.items()
        }

    def trial(self, name: str, kind: str, rng: np.random.Generator) -> dict[str, Any]:
        """One fault, or a chain of them, and how the command ended.

        Returns: what happened; ended: same, refused or other; found: what was bad.
        """
        subject, place = self._subjects[name], self._folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        own = self._states[name][0]
        if kind in fault_kinds.INTERRUPTIONS:
            if rng.random() < 0.5:
                self._fresh(place)
            else:
                shutil.copytree(own[rng.integers(len(own))], place)
            return self._interrupted(subject, kind, place, rng)
        shutil.copytree(own[rng.integers(len(own))], place)
        what = self._damaged(subject, kind, place, rng)
        before = fault_judging.kept(subject, place)
        end = self._run(subject.command, place)
        expected = self._expected[name]
        how, found = fault_judging.ended(subject, place, expected, end, before)
        return _told(what, how, found, [end])

    def _interrupted(self, subject, kind, place, rng):
        expected, said, found, ends = self._expected[subject.name], [], [], []
        for _ in range(rng.integers(1, _CHAIN + 1)):
            fault = fault_kinds.interruption(kind, *self._length[subject.name], rng)
            before = fault_judging.kept(subject, place)
            end = self._run(subject.command, place, fault)
            ends.append(end)
            said.append(f"{tuple(fault)} ends with {end.code}")
            found += fault_judging.interrupted(subject, place, expected, end, before)
        newest = fault_judging.newest(place)
        end = self._run(subject.command, place)
        how, more = fault_judging.ended(subject, place, expected, end, {})
        found += more + fault_judging.gone_on(place, end, newest)
        return _told("; ".join(said), how, found, [*ends, end])

    def _damaged(self, subject, kind, place, rng):
        places = [place / "out" / name for name in subject.state]
        if kind == "exchange":
            others = self._states[subject.name][1 + rng.integers(len(subject.others))]
            theirs = others[rng.integers(len(others))]
            pairs = [(p, theirs / "out" / p.name) for p in places]
            pairs = [pair for pair in pairs if pair[1].exists()]
            mine, others_own = pairs[rng.integers(len(pairs))]
            return fault_kinds.exchange(mine, others_own, rng)
        files = fault_kinds.files_of(places)
        if not files or (NET in str(subject.command) and rng.random() < 0.2):
            files = [place / NET]
        return fault_kinds.DAMAGE[kind](files, rng)

    def _prepared(self, subject: Subject, number: int) -> list[pathlib.Path]:
        """Directories with all that a subject, or one of its others, goes on from."""
        command = (subject.command, *subject.others)[number]
        folder = self._folder / subject.name / str(number)
        if number == 0:
            self._whole_run(command, folder / "first")  # Compiles.
        begun = time.perf_counter()
        whole = self._whole_run(command, folder / "whole")
        seconds = time.perf_counter() - begun
        if number == 0:
            self._expected[subject.name] = fault_judging.answer(
                subject, folder / "whole"
            )
            self._length[subject.name] = whole.touches, seconds
        faults = [Fault("stop", seconds=share * seconds) for share in _SHARES]
        faults += [Fault("kill", touch=whole.touches - k) for k in range(_LAST)]
        for k, fault in enumerate(faults if subject.state else ()):
            self._fresh(folder / str(k))
            self._run(command, folder / str(k), fault)
        states = sorted(folder.iterdir())
        return [
            s for s in states if fault_judging.kept(subject, s) or not subject.state
        ]

    def _whole_run(self, command: tuple[str, ...], place: pathlib.Path) -> Outcome:
        self._fresh(place)
        end = self._run(command, place)
        if end.code:
            raise ValueError(f"{' '.join(command)} ended with {end.code}: {_last(end)}")
        return end

    def _fresh(self, place: pathlib.Path) -> None:
        place.mkdir(parents=True)
        if (self._folder / NET).exists():
            shutil.copyfile(self._folder / NET, place / NET)

    def _run(self, command, place, fault=None):
        return self._server.run([*command, "--out=out"], place, fault)


def _told(what: str, how: str, found: list[str], ends: list[Outcome]) -> dict[str, Any]:
    """A row of the record, with all that was printed where something was bad."""
    row = {"what": what, "ended": how, "found": found, "said": _last(ends[-1])}
    return row | ({"printed": [end.out + end.err for end in ends]} if found else {})


def _last(end: Outcome) -> str:
    return (end.err.strip().splitlines() or [""])[-1]
