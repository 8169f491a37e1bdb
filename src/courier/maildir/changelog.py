"""The change log: which UIDs changed or vanished after a given MODSEQ (RFC 7162 3).

In memory for now: it reaches back to the opening of the folder, at most `_KEPT` changes, and
says so (`None`) when asked for more. Numbers start from the clock, so that those of a later
opening are above those of an earlier one.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Changes:
    """UIDs that are new or have other flags or keywords, and UIDs that are gone."""

    changed: frozenset[int]
    vanished: frozenset[int]


class ChangeLog:
    """Changes of one folder in the order of their MODSEQ. Threads may record and ask at once."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # never held while anything else is waited for
        self.highest = time.time_ns() // 1000
        self._floor = self.highest  # nothing older is known
        self._modseqs: list[int] = []
        self._changes: list[Changes] = []

    def record(self, changed: Iterable[int], vanished: Iterable[int]) -> int:
        """Note one change of the folder and return its MODSEQ."""
        change = Changes(frozenset(changed), frozenset(vanished))
        with self._mutex:
            self.highest += 1
            self._modseqs.append(self.highest)
            self._changes.append(change)
            if len(self._changes) > _KEPT:
                dropped = len(self._changes) // 2
                self._floor = self._modseqs[dropped - 1]
                del self._modseqs[:dropped], self._changes[:dropped]
            return self.highest

    def since(self, modseq: int, until: int | None = None) -> Changes | None:
        """Sum up what happened after ``modseq``, up to and including ``until``.

        Returns: None when the log does not reach back so far.
        """
        with self._mutex:
            if modseq < self._floor:
                return None
            begin = bisect_right(self._modseqs, modseq)
            end = None if until is None else bisect_right(self._modseqs, until)
            later = self._changes[begin:end]
        vanished = frozenset[int]().union(*(change.vanished for change in later))
        changed = frozenset[int]().union(*(change.changed for change in later))
        return Changes(changed - vanished, vanished)
