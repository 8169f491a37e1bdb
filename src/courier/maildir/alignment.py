"""Which row of a table of items belongs to each UID of a folder.

Nearly always the rows of long runs of messages are neighbours; they are found by comparing columns as
a whole, so that a million messages cost milliseconds and no dictionary.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from courier.maildir.itemfile import Content

#: Runs, and rows that are not sorted, above which a dictionary of all is faster.
_MAX_RUNS = 1000
_MAX_TAIL = 10_000
_FIRST_STEP = 64


class Runs(Sequence[int]):
    """Rows of messages, 0 for those that have none, as runs of neighbours."""

    def __init__(self, places: list[int], rows: list[int], size: int) -> None:
        """From each place on rows follow each other, up to the next place; or are 0."""
        self._places = places
        self._rows = rows
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        for part in self.parts():
            yield from part

    def __contains__(self, row: object) -> bool:
        return 0 in self._rows if row == 0 else any(row in part for part in self.parts())

    def __getitem__(self, which: Any) -> Any:
        """Give a row, or the rows of a slice: a range if they are neighbours, else an array."""
        if not isinstance(which, slice):
            place = range(self._size)[which]
            return next(iter(self.parts(place, place + 1)))[0]
        start, stop, _ = which.indices(self._size)
        parts = list(self.parts(start, stop))
        if len(parts) == 1:
            return parts[0]
        rows = array("I")
        for part in parts:
            rows.extend(part)
        return rows

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[Sequence[int]]:
        """Give the rows between two places: ranges of neighbours, and arrays of zeros."""
        stop = self._size if stop is None else stop
        at = bisect_right(self._places, start) - 1
        while start < stop:
            is_last = at + 1 == len(self._places)
            end = stop if is_last else min(self._places[at + 1], stop)
            row = self._rows[at]
            first = row + start - self._places[at]
            yield range(first, first + end - start) if row else array("I", bytes(4 * (end - start)))
            start, at = end, at + 1


def align(uids: Sequence[int], content: Content, excluded: Collection[int] = ()) -> Sequence[int]:
    """Give the row of each UID (ascending), 0 where there is none: a range, `Runs` or an array.

    Of several rows of one UID the last counts. Rows in ``excluded`` don't.
    """
    column = content.column(0)[: content.end]
    first = 1 + content.sorted_rows
    wanted = uids if isinstance(uids, memoryview) else memoryview(array("I", uids))
    if not len(wanted):
        return array("I")
    if first == len(column) == 1 + len(wanted) and not excluded and column[1:] == wanted:
        return range(1, first)

    runs = _by_runs(wanted, column[:first]) if len(column) - first <= _MAX_TAIL else None
    if runs is None:
        row_of = dict(zip(column[1:].tolist(), range(1, len(column)), strict=True))
        row_of.pop(0, None)  # the heads of batches
        rows = array("I", map(row_of.get, wanted, repeat(0)))
        for row in excluded:
            place = bisect_left(wanted, column[row])
            if place < len(rows) and rows[place] == row:
                rows[place] = 0
        return rows

    found = _places(wanted, enumerate(column[first:].tolist(), first))
    for row in excluded:
        for place in _places(wanted, ((row, column[row]),)):
            if found.get(place, runs[place]) == row:
                found[place] = 0
    runs = _changed(runs, found)
    parts = list(runs.parts())
    return parts[0] if len(parts) == 1 and isinstance(parts[0], range) else runs


def _places(uids: memoryview, rows: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Give rows, each given with its UID, by the place of that; the last one if there are several."""
    found = {}
    for row, uid in rows:
        place = bisect_left(uids, uid) if uid else len(uids)
        if place < len(uids) and uids[place] == uid:
            found[place] = row
    return found


def _changed(runs: Runs, found: Mapping[int, int]) -> Runs:
    """Put rows into their places."""
    builder = _Builder()
    at = 0
    for place in sorted(found):
        for part in runs.parts(at, place):
            builder.add(part[0], len(part))
        builder.add(found[place], 1)
        at = place + 1
    for part in runs.parts(at):
        builder.add(part[0], len(part))
    return builder.built()


class _Builder:
    """Makes runs as long as they can be."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._rows: list[int] = []
        self._size = 0

    def add(self, row: int, length: int) -> None:
        """Add ``length`` rows from ``row`` on, or as many zeros."""
        if not length:
            return
        if self._rows:
            last = self._rows[-1]
            follows = last + self._size - self._places[-1] if last else 0
        if not self._rows or row != follows or (row == 0) != (last == 0):
            self._places.append(self._size)
            self._rows.append(row)
        self._size += length

    def built(self) -> Runs:
        return Runs(self._places, self._rows, self._size)


def _by_runs(uids: memoryview, column: memoryview) -> Runs | None:
    """Find the rows of ascending UIDs in a column that ascends, too; None if that takes too long."""
    builder = _Builder()
    at, row = 0, 1
    for _ in range(_MAX_RUNS):
        length = _common(uids, at, column, row)
        builder.add(row, length)
        at, row = at + length, row + length
        if at == len(uids) or row == len(column):
            builder.add(0, len(uids) - at)
            return builder.built()
        if uids[at] < column[row]:
            skipped = bisect_left(uids, column[row], at) - at
            builder.add(0, skipped)
            at += skipped
        else:
            row = bisect_left(column, uids[at], row)
    return None


def _common(one: memoryview, at: int, other: memoryview, row: int) -> int:
    """Count how many values are the same from ``at`` and ``row`` on."""
    left = min(len(one) - at, len(other) - row)
    same, step = 0, _FIRST_STEP
    while same < left:
        step = min(step, left - same)
        begin = at + same, row + same
        if one[begin[0] : begin[0] + step] == other[begin[1] : begin[1] + step]:
            same += step
            step *= 2
        elif step == 1:
            break
        else:
            step //= 2
            if step < _FIRST_STEP:  # near the end of the run: what differs is in the next few
                while step and one[at + same] == other[row + same]:
                    same += 1
                break
    return same
