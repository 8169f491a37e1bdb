"""Which row of a table of items belongs to each UID of a folder.

Nearly always the rows of long runs of messages are neighbours; they are found by comparing columns as
a whole, so that a million messages cost milliseconds and no dictionary.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat

from courier.maildir.itemfile import Content

#: Runs, and rows that are not sorted, above which a dictionary of all is faster.
_MAX_RUNS = 1000
_MAX_TAIL = 10_000
_FIRST_STEP = 64


def align(uids: Sequence[int], content: Content, excluded: Collection[int] = ()) -> Sequence[int]:
    """Give the row of each UID (ascending), 0 where there is none; a range if they are neighbours.

    Of several rows of one UID the last counts. Rows in ``excluded`` don't.
    """
    column = content.column(0)[: content.end]
    first = 1 + content.sorted_rows
    wanted = uids if isinstance(uids, memoryview) else memoryview(array("I", uids))
    if first == len(column) == 1 + len(wanted) and not excluded and column[1:] == wanted:
        return range(1, first)

    rows = None
    if len(column) - first <= _MAX_TAIL:
        rows = _by_runs(wanted, column[:first])
    if rows is None:
        row_of = dict(zip(column[1:].tolist(), range(1, len(column)), strict=True))
        row_of.pop(0, None)  # the heads of batches
        rows = array("I", map(row_of.get, wanted, repeat(0)))
    else:
        _place(rows, wanted, enumerate(column[first:].tolist(), first))
    for row in excluded:
        place = bisect_left(wanted, column[row])
        if place < len(rows) and rows[place] == row:
            rows[place] = 0
    if rows and rows[0] and rows == array("I", range(rows[0], rows[0] + len(rows))):
        return range(rows[0], rows[0] + len(rows))
    return rows


def _place(rows: array[int], uids: memoryview, found: Iterable[tuple[int, int]]) -> None:
    """Note rows, given with their UIDs, where these are wanted."""
    for row, uid in found:
        place = bisect_left(uids, uid) if uid else len(uids)
        if place < len(uids) and uids[place] == uid:
            rows[place] = row


def _by_runs(uids: memoryview, column: memoryview) -> array[int] | None:
    """Find the rows of ascending UIDs in a column that ascends, too; None if that takes too long."""
    rows = array("I")
    at, row = 0, 1
    for _ in range(_MAX_RUNS):
        length = _common(uids, at, column, row)
        rows.extend(range(row, row + length))
        at, row = at + length, row + length
        if at == len(uids) or row == len(column):
            rows.extend(repeat(0, len(uids) - at))
            return rows
        if uids[at] < column[row]:
            skipped = bisect_left(uids, column[row], at) - at
            rows.extend(repeat(0, skipped))
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
