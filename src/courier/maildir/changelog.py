"""The change log: which UIDs changed or vanished after a given MODSEQ (RFC 7162 3).

The latest changes are at hand one by one. What lies before them is summed up: the column of
MODSEQs says which messages changed last when, and of the vanished ones the last `HISTORY` are
kept, UID and MODSEQ. With an index (`courier.maildir.index`) that reaches back over processes;
without, to the opening of the folder. When asked for more, the log says so (`None`).

Each change takes a number above all earlier ones, by the clock (microseconds) where that is
higher: if the index is lost, numbers go on above every one that was ever given.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from courier.maildir.columns import EMPTY, Columns

#: Vanished messages that are remembered.
HISTORY = 65_536
#: Changes kept one by one, and the messages they may concern.
_KEPT = 1000
_KEPT_UIDS = 100_000


@dataclass(frozen=True, slots=True)
class Changes:
    """UIDs that are new or have other flags or keywords, and UIDs that are gone."""

    changed: frozenset[int]
    vanished: frozenset[int]


class ChangeLog:
    """Changes of one folder in the order of their MODSEQ. Threads may record and ask at once."""

    def __init__(self, columns: Callable[[], Columns] = lambda: EMPTY) -> None:
        """Start with nothing known; ``columns`` gives the folder's messages as they are."""
        self._mutex = threading.Lock()  # never held while anything else is waited for
        self._columns = columns
        self.highest = time.time_ns() // 1000
        self.floor = self.highest
        """Nothing that happened up to this MODSEQ can be told."""
        self._near = self.highest  # what came after is known one by one
        self._modseqs: list[int] = []
        self._changes: list[Changes] = []
        self._gone_uids = array("I")
        self._gone_modseqs = array("Q")

    def next(self, at_least: int = 0) -> int:
        """Give the MODSEQ of a change that is to be noted now."""
        return max(self.highest + 1, self.floor + 1, time.time_ns() // 1000, at_least)

    def record(
        self, changed: Iterable[int], vanished: Iterable[int], modseq: int | None = None
    ) -> int:
        """Note one change of the folder and return its MODSEQ; by default the next one."""
        change = Changes(frozenset(changed), frozenset(vanished))
        with self._mutex:
            self.highest = max(modseq or self.next(), self.highest)
            self._modseqs.append(self.highest)
            self._changes.append(change)
            self._gone_uids.extend(sorted(change.vanished))
            self._gone_modseqs.extend([self.highest] * len(change.vanished))
            self._forget()
            return self.highest

    def _forget(self) -> None:
        """Drop the oldest half of what has become too much."""
        concerned = sum(len(change.changed) + len(change.vanished) for change in self._changes[-2:])
        if len(self._changes) > _KEPT or concerned > _KEPT_UIDS:
            dropped = max(len(self._changes) // 2, 1) if concerned <= _KEPT_UIDS else None
            self._near = self._modseqs[:dropped][-1]
            del self._modseqs[:dropped], self._changes[:dropped]
        if len(self._gone_uids) > 2 * HISTORY:
            excess = len(self._gone_uids) - HISTORY
            self.floor = max(self.floor, self._gone_modseqs[excess - 1])
            del self._gone_uids[:excess], self._gone_modseqs[:excess]

    def restart(self, floor: int, highest: int, history: tuple[array[int], array[int]]) -> None:
        """Take over what an index knows: summed up, nothing one by one."""
        with self._mutex:
            self.highest, self.floor = highest, floor
            self._near = max(highest, floor)
            self._modseqs, self._changes = [], []
            self._gone_uids, self._gone_modseqs = history

    def begin(self, modseq: int) -> None:
        """Take a folder read for the first time as what there is from ``modseq`` on."""
        self.restart(modseq, modseq, (array("I"), array("Q")))

    def vanished(self, modseq: int) -> tuple[array[int], array[int]] | None:
        """Give UIDs gone after ``modseq``, and the MODSEQs at which they went, in that order.

        Returns: None when the log does not reach back so far.
        """
        with self._mutex:
            if modseq < self.floor:
                return None
            begin = bisect_right(self._gone_modseqs, modseq)
            return self._gone_uids[begin:], self._gone_modseqs[begin:]

    def since(self, modseq: int, until: int | None = None) -> Changes | None:
        """Sum up what happened after ``modseq``, up to and including ``until``.

        Returns: None when the log does not reach back so far.
        """
        with self._mutex:
            if modseq < self._near:
                return self._from_far(modseq, until)
            begin = bisect_right(self._modseqs, modseq)
            end = None if until is None else bisect_right(self._modseqs, until)
            later = self._changes[begin:end]
        vanished = frozenset[int]().union(*(change.vanished for change in later))
        changed = frozenset[int]().union(*(change.changed for change in later))
        return Changes(changed - vanished, vanished)

    def _from_far(self, modseq: int, until: int | None) -> Changes | None:
        if modseq < self.floor:
            return None
        begin = bisect_right(self._gone_modseqs, modseq)
        end = None if until is None else bisect_right(self._gone_modseqs, until)
        return Changes(
            changed_after(self._columns(), modseq), frozenset(self._gone_uids[begin:end])
        )


def changed_after(columns: Columns, modseq: int) -> frozenset[int]:
    """Give UIDs of messages that came or changed after ``modseq``."""
    pairs = zip(columns.uids, columns.modseqs, strict=True)
    return frozenset(uid for uid, at in pairs if at > modseq)
