"""Which messages of a view match a criterion: by columns as far as they tell, by the messages else.

A view is looked at in runs of rows. Only for rows between a criterion's bounds a message is looked at,
cheap tests first, and its file is read at most once. A message that is gone matches nothing.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from courier import log
from courier.maildir.folder import MessageGone
from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.process.request import Work
from imapd import known
from imapd.criterion import Bounds, Candidate, Cost, Criterion, Mask, Rows
from imapd.request import Progress, Step

#: Rows that are looked at together: a millisecond or two for each criterion.
_RUN = 32_768
#: Seconds for which messages are looked at before others get their turn.
_TURN_S = 0.004
#: Times that damaged files are thrown away before a search does without.
_TRIES = 3


@dataclass(slots=True)
class _Run:
    """A run, and what its columns tell."""

    rows: Rows
    low: Mask
    high: Mask

    def lacking(self) -> Iterator[tuple[int, int]]:
        """Give ranges of the sequence numbers of messages of which more should be kept."""
        octets = self.rows.octets((self.low ^ self.high) & self.rows.lacking)
        first = self.rows.first
        return ((first + begin + 1, first + end) for begin, end in set_ranges(octets))


def find(criterion: Criterion, view: View, enough: int = 0) -> Generator[Step, Any, bytes]:
    """Find the messages of a view that match.

    Args:
        enough: so many of those that match have to be found, the first ones; if negative, the last ones
            (RFC 9394 3.1). 0: all. Of the others some may be missing.

    Returns: an octet for each message, 1 for those that do.
    """
    runs = yield from _bounds(criterion, view)
    total = sum((run.low ^ run.high).bit_count() for run in runs)
    done = found = 0
    octets = [bytearray(run.rows.octets(run.low)) for run in runs]
    places = range(len(runs)) if enough >= 0 else range(len(runs) - 1, -1, -1)
    for place in places:
        run, matches = runs[place], octets[place]
        waiting = _Waiting(run.rows.octets(run.low ^ run.high), backwards=enough < 0)
        while looked := (yield Work(partial(_look, criterion, run.rows, waiting, matches))):
            done += looked
            if enough and found + waiting.passed(matches) >= abs(enough):
                break
            yield Progress(done, total)
        found += matches.count(1)
        if enough and found >= abs(enough):
            break
    return b"".join(octets)


class _Waiting:
    """The rows of a run that have to be looked at, one after the other."""

    def __init__(self, octets: bytes, *, backwards: bool) -> None:
        self._rows = set_rows(octets) if not backwards else _set_rows_backwards(octets)
        self._backwards = backwards
        self._at = len(octets) if backwards else -1

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self._at = next(self._rows)
        return self._at

    def passed(self, matches: bytearray) -> int:
        """Count the matches up to the row that was looked at last."""
        if self._backwards:
            return matches.count(1, self._at)
        return matches.count(1, 0, self._at + 1)


def _bounds(criterion: Criterion, view: View) -> Generator[Step, Any, list[_Run]]:
    """Find what columns tell of all runs; read before what ought to be kept of messages."""
    table: Table | None = None
    for _ in range(_TRIES):
        if criterion.cost > Cost.COLUMNS:
            table = yield Work(partial(known.current, view))
        runs = yield from _runs(criterion, view, table)
        lacking = NumberSet(pair for run in runs or () for pair in run.lacking())
        if lacking:
            table = yield from known.ready(view, lacking)
            runs = yield from _runs(criterion, view, table)
        if runs is not None:
            return runs
        assert table is not None
        known.renew(view, table)
    runs = yield from _runs(criterion, view, None)
    assert runs is not None  # nothing is kept that could be damaged
    return runs


def _runs(
    criterion: Criterion, view: View, table: Table | None
) -> Generator[Step, Any, list[_Run] | None]:
    """Find what columns tell of all runs; None if what is kept is damaged."""
    runs: list[_Run] = []
    for first in range(0, len(view.uids), _RUN):
        rows = Rows(view, first, min(first + _RUN, len(view.uids)), table)
        bounds = yield Work(partial(_unless_damaged, criterion, rows))
        yield b""
        if bounds is None:
            return None
        runs.append(_Run(rows, *bounds))
    return runs


def _unless_damaged(criterion: Criterion, rows: Rows) -> Bounds | None:
    try:
        return criterion.bounds(rows)
    except Damaged:
        return None


def set_rows(octets: bytes) -> Iterator[int]:
    """Give the places of the octets that are 1."""
    at = octets.find(1)
    while at >= 0:
        yield at
        at = octets.find(1, at + 1)


def _set_rows_backwards(octets: bytes) -> Iterator[int]:
    at = octets.rfind(1)
    while at >= 0:
        yield at
        at = octets.rfind(1, 0, at)


def set_ranges(octets: bytes) -> Iterator[tuple[int, int]]:
    """Give the half-open ranges of the octets that are 1."""
    begin = octets.find(1)
    while begin >= 0:
        end = octets.find(0, begin)
        if end < 0:
            end = len(octets)
        yield begin, end
        begin = octets.find(1, end)


def _look(criterion: Criterion, rows: Rows, waiting: Iterable[int], octets: bytearray) -> int:
    """Look at messages for a while; tell at how many, if some may be left."""
    until = time.monotonic() + _TURN_S
    for looked, at in enumerate(waiting, 1):
        try:
            octets[at] = criterion.test(Candidate(rows, at))
        except MessageGone:
            pass
        except OSError as error:
            log.error("cannot search message", rows.view.folder.path, error)
        if time.monotonic() > until:
            return looked
    return 0
