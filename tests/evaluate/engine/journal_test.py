"""What the journal gives back is what was added, session after session, or nothing."""

import json
import random

import numpy as np
import pytest

from robust_jax.core import locks
from robust_jax.evaluate.engine import Entry, Journal, clock, journal

OURS, THEIRS = {"seed": 0, "eps": 0.05}, {"seed": 0, "eps": 0.15}


def entry(place, won):
    x_adv = np.full((2, 2), place / 10, np.float32) if won else None
    return Entry(1, 7, place, place - 0.5, 3 + place, 2 + place, x_adv)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one[:-1] == other[:-1]
        np.testing.assert_array_equal(one.x_adv, other.x_adv)


def written(folder, identity=OURS, places=range(8)):
    """A journal of parts of two items each; its entries."""
    entries = [entry(place, place % 3 == 0) for place in places]
    for k in range(0, len(entries), 2):
        one = Journal(folder, identity)
        for item in entries[k : k + 2]:
            one.add(item)
        one.flush()
        one.close()
    return entries


def read(folder, identity=OURS):
    one = Journal(folder, identity)
    one.close()
    return one.entries()


def parts(folder):
    return sorted(folder.glob("part-*"))


def test_entries_of_all_sessions_come_back_each_with_its_example(tmp_path):
    added = written(tmp_path)
    assert len(parts(tmp_path)) == 4
    assert_same(read(tmp_path), added)


def test_seconds_are_of_each_sitting_and_stage(tmp_path, monkeypatch):
    """Those that ended with a part; a stage counts from its begin to the next."""
    now = iter([0.0, 1.0, 4.0, 9.0, 100.0, 102.0, 110.0, 110.5])
    monkeypatch.setattr(clock.time, "perf_counter", lambda: next(now))
    one = Journal(tmp_path, OURS)
    one.at(0)
    one.at(2)  # Stage 0 took 3 s, ...
    one.add(entry(0, True))
    one.flush()  # ... and stage 2 has taken 5.
    one.close()
    two = Journal(tmp_path, OURS)
    assert two.sittings() == [{0: 3.0, 2: 5.0}]
    two.at(2)
    two.at(None)
    two.add(entry(1, True))
    two.flush()
    two.close()
    monkeypatch.undo()
    three = Journal(tmp_path, OURS)
    three.close()
    assert three.sittings() == [{0: 3.0, 2: 5.0}, {2: 8.0}]


def test_no_part_takes_the_name_of_another(tmp_path):
    """Of one that was removed, the items run again; the others stay."""
    added = written(tmp_path)
    parts(tmp_path)[1].unlink()
    left = read(tmp_path)
    assert len(left) == 6
    written(tmp_path, places=range(8, 10))
    assert_same(read(tmp_path), [*left, entry(8, False), entry(9, True)])
    gone = [e for e in added if e.place not in {item.place for item in left}]
    one = Journal(tmp_path, OURS)
    for item in gone:
        one.add(item)
    one.flush()
    one.close()
    assert_same(read(tmp_path)[:8], added)


def test_an_item_that_two_parts_hold_counts_once(tmp_path):
    written(tmp_path, places=(0, 1, 2))
    written(tmp_path, places=(1, 2, 3))
    assert [item.place for item in read(tmp_path)] == [0, 1, 2, 3]


def test_what_is_left_of_a_removed_journal_is_not_taken_for_another(tmp_path):
    """Killed after the header, say: parts alone are still of their evaluation."""
    added = written(tmp_path)
    (tmp_path / "journal.json").unlink()
    with pytest.raises(ValueError, match="belongs to another evaluation; choose"):
        Journal(tmp_path, THEIRS)
    assert_same(read(tmp_path), added)
    assert (tmp_path / "journal.json").exists()
    with pytest.raises(ValueError, match=r"evaluation .eps was 0.05, is 0.15.; choose"):
        Journal(tmp_path, THEIRS)


@pytest.mark.parametrize(
    "content",
    ["", "null", "[]", "3", '"text"', "{", "[" * 10**5, b"\xff\xfe", "{}"],
    ids=["empty", "null", "list", "number", "text", "cut", "deep", "bytes", "other"],
)
def test_a_header_that_says_nothing_is_refused_in_a_sentence(tmp_path, content):
    written(tmp_path)
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / "journal.json").write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: journal.json|was begun for ano"):
        Journal(tmp_path, OURS)


def mistakes(folder, other, draw):
    """One of the things that happen to files, done to a journal's folder."""
    part = draw.choice(parts(folder))
    content = bytearray(part.read_bytes())
    kind = draw.choice(["flip", "cut", "empty", "drop", "rename", "swap", "header"])
    if kind == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        part.write_bytes(content)
    elif kind in ("cut", "empty"):
        part.write_bytes(
            content[: draw.randrange(len(content)) if kind == "cut" else 0]
        )
    elif kind == "drop":
        part.unlink()
    elif kind == "rename":
        part.rename(folder / f"part-{draw.randrange(100):06d}.npz")
    elif kind == "swap":
        foreign = draw.choice(parts(other))
        (folder / foreign.name).write_bytes(foreign.read_bytes())
    else:
        header = folder / "journal.json"
        text = bytearray(header.read_bytes())
        text[draw.randrange(len(text))] ^= 1 << draw.randrange(8)
        header.write_bytes(text)
    return kind


@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 2000), marks=pytest.mark.full)]
)
def test_damaged_and_foreign_files_are_refused_or_change_nothing(tmp_path, seeds):
    """What is read is some of what was written; whatever else is one sentence."""
    seen = set()
    for seed in seeds:
        draw = random.Random(seed)
        ours, theirs = tmp_path / f"{seed}", tmp_path / f"{seed}-other"
        added = {item.place: item for item in written(ours)}
        written(theirs, THEIRS)
        kind = mistakes(ours, theirs, draw)
        try:
            found = read(ours)
        except ValueError as refused:
            assert str(refused).startswith("journal="), refused
            assert "\n" not in str(refused)
            seen.add((kind, "refused"))
            continue
        assert_same(found, [added[item.place] for item in found])
        seen.add((kind, "read"))
    # Dropped parts alone are read: what they held runs again.
    assert {kind for kind, end in seen if end == "refused"} == {
        "flip", "cut", "empty", "rename", "swap", "header",
    }  # fmt: skip
    assert {kind for kind, end in seen if end == "read"} <= {"drop", "header"}


def test_one_run_at_a_time(tmp_path):
    first = Journal(tmp_path, OURS)
    with pytest.raises(ValueError, match="in use by another run; wait"):
        Journal(tmp_path, OURS)
    first.close()
    Journal(tmp_path, OURS).close()


def test_it_is_removed_without_what_is_not_its_own(tmp_path):
    folder = tmp_path / "journal"
    journal.remove(folder)  # There is none.
    written(folder)
    (folder / ".part-0.1.npz").write_bytes(b"cut")  # Of a killed write.
    journal.remove(folder)
    assert not folder.exists()
    written(folder)
    (folder / "notes.txt").write_text("mine")
    lock = locks.Lock(folder, "journal")
    journal.remove(folder)  # Another run has taken it up: it stays.
    assert len(parts(folder)) == 4
    lock.release()
    journal.remove(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_killed_write_leaves_nothing_that_counts(tmp_path):
    added = written(tmp_path)
    (tmp_path / f".part-{'0' * 32}.1.npz").write_bytes(b"cut")
    (tmp_path / ".journal.1.json").write_text("{")
    assert_same(read(tmp_path), added)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_full_disk_is_one_sentence_and_keeps_what_was_written(tmp_path, monkeypatch):
    added = written(tmp_path)
    one = Journal(tmp_path, OURS)
    one.add(entry(8, True))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(ValueError, match="cannot be written .No space left on dev"):
            one.flush()
    one.close()
    assert_same(read(tmp_path), added)


def test_the_header_says_which_evaluation_it_is_of(tmp_path):
    written(tmp_path, {"radii": np.float32(0.5), "plan": [("pgd", 4)]})
    found = json.loads((tmp_path / "journal.json").read_text())
    assert found == {"format": 3, "radii": 0.5, "plan": [["pgd", 4]]}
