"""courier.maildir.changelog: what changed after a MODSEQ."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.maildir import changelog
from courier.maildir.changelog import ChangeLog, Changes
from courier.maildir.columns import EMPTY, Row

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


def test_old_changes_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log stays short: what it forgot is told from the columns and the list of the vanished."""
    monkeypatch.setattr(changelog, "_KEPT", 4)
    columns = EMPTY
    log = ChangeLog(lambda: columns)
    start = log.highest
    expected = []
    for uid in range(1, 12):
        gone = {uid - 2} if uid % 3 == 0 else set()
        modseq = log.record({uid}, gone)
        columns = columns.with_changes([Row(uid, b"n", False, 0, 0)], gone, modseq)
        expected.append((modseq, uid, gone))

    assert len(log._changes) <= 4
    for after in (start, *(modseq for modseq, _, _ in expected)):
        vanished = set().union(*(gone for modseq, _, gone in expected if modseq > after))
        changed = {uid for modseq, uid, _ in expected if modseq > after} - vanished
        assert log.since(after) == Changes(frozenset(changed), frozenset(vanished))
    assert log.since(start - 1) is None


def test_vanished_messages_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says from where on it knows them, and which went when."""
    monkeypatch.setattr(changelog, "HISTORY", 3)
    monkeypatch.setattr(changelog, "_KEPT", 1)
    log = ChangeLog()
    modseqs = [log.record((), {uid}) for uid in range(1, 12)]

    known = log.vanished(log.floor)

    assert known is not None
    uids, at = known
    assert 3 <= len(uids) <= 6
    assert list(uids) == list(range(12 - len(uids), 12))
    assert list(at) == modseqs[-len(uids) :]
    assert log.floor == modseqs[-len(uids) - 1]
    assert log.vanished(log.floor - 1) is None and log.since(log.floor - 1) is None
    assert log.vanished(modseqs[-2]) == (uids[-1:], at[-1:])
