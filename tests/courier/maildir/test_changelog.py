"""courier.maildir.changelog: what changed after a MODSEQ."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import changelog
from courier.maildir.changelog import ChangeLog, Changes

UIDS = st.frozensets(st.integers(1, 9), max_size=4)


@given(st.lists(st.tuples(UIDS, UIDS), max_size=12), st.data())
def test_since(history: list[tuple[frozenset[int], frozenset[int]]], data: st.DataObject) -> None:
    """The sum of all later changes; what is gone at the end is not listed as changed."""
    log = ChangeLog()
    before = log.highest
    modseqs = [log.record(changed, vanished) for changed, vanished in history]
    after = data.draw(st.integers(0, len(history)))
    last = data.draw(st.integers(after, len(history)))
    marks = [before, *modseqs]

    changes = log.since(marks[after], until=marks[last])

    vanished = frozenset[int]().union(*(gone for _, gone in history[after:last]))
    changed = frozenset[int]().union(*(new for new, _ in history[after:last]))
    assert changes == Changes(changed - vanished, vanished)
    assert log.since(marks[after]) == log.since(marks[after], until=marks[-1])
    assert modseqs == sorted(set(modseqs))
    assert log.highest == (modseqs[-1] if modseqs else before)


def test_unknown_past() -> None:
    """A MODSEQ from before this log, as another opening gave it, can't be answered."""
    log = ChangeLog()

    assert log.since(log.highest - 1) is None
    assert log.since(log.highest) == Changes(frozenset(), frozenset())


def test_numbers_of_a_later_opening_are_higher(monkeypatch: pytest.MonkeyPatch) -> None:
    """They start from the clock, in microseconds, so many changes fit between two openings."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    first = ChangeLog()
    for _ in range(1000):
        first.record({1}, ())
    monkeypatch.setattr(time, "time_ns", lambda: now + 1_001_000)

    assert ChangeLog().highest > first.highest


def test_old_changes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log stays short, never claims to know what it forgot, and still knows the rest."""
    monkeypatch.setattr(changelog, "_KEPT", 4)
    log = ChangeLog()
    start = log.highest
    modseqs = [log.record({uid}, ()) for uid in range(1, 12)]

    assert len(log._changes) <= 4
    assert log.since(start) is None
    known = [modseq for modseq in modseqs if log.since(modseq) is not None]
    assert known == modseqs[-len(known) :] and len(known) >= 2
    for modseq in known:
        changes = log.since(modseq)
        assert changes is not None
        assert changes.changed == set(range(modseqs.index(modseq) + 2, 12))
