"""Which messages of a view match a criterion: by columns as far as they tell, by the messages else.

A view is looked at in runs of rows. For each run a criterion gives bounds, two masks: rows that match
for certain, and rows that may match. Columns give both for whole runs at a time, without a call per
message, from what the view has and from what is kept of messages (`courier.maildir.items`). Only for
rows between the bounds a message is looked at, cheap tests first, and its file is read at most once. A
message that is gone matches nothing.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import not_
from typing import Any, Protocol

from courier import log
from courier.maildir.folder import MessageGone
from courier.maildir.items import Damaged, Table
from courier.maildir.numberset import NumberSet
from courier.maildir.view import View
from courier.message import text
from courier.message.message import Message
from courier.process.request import Work
from imapd import known
from imapd.request import Step

#: Rows that are looked at together: a millisecond or two for each criterion.
_RUN = 32_768
#: Seconds for which messages are looked at before others get their turn.
_TURN_S = 0.004

#: One octet per row, 0 or 1, as a number: the first row is the lowest octet. ``&`` and ``|`` of these
#: cost a hundredth of a loop over the rows.
Mask = int
#: Rows that match, and rows that may match: the first are among the second.
Bounds = tuple[Mask, Mask]


class Cost(enum.IntEnum):
    """What has to be looked at."""

    COLUMNS = 0  # what the view has
    FILE_TIMES = 1  # what is kept of messages; where nothing is, a file's times
    HEADER = 2  # what is kept of messages; where nothing is, it will be
    BODY = 3  # message files


class Candidate:
    """One message under test. The file is looked at, and read, at most once."""

    __slots__ = ("_bodies", "_found", "_message", "at", "rows", "uid")

    def __init__(self, rows: Rows, at: int) -> None:
        self.rows = rows
        self.at = at  # its place in the run
        self.uid = rows.view.uids[rows.first + at]
        self._message: Message | None = None
        self._bodies: list[str] | None = None
        self._found: os.stat_result | None = None

    @property
    def row(self) -> int:
        """Its place in the view, from 0."""
        return self.rows.first + self.at

    @property
    def message(self) -> Message:
        """Raises MessageGone, OSError."""
        if self._message is None:
            data, self._found = self.rows.view.folder.read(self.uid)
            self._message = Message(data)
        return self._message

    @property
    def bodies(self) -> list[str]:
        """The texts that BODY looks at, decoded once. Raises as `message`."""
        if self._bodies is None:
            self._bodies = list(text.bodies(self.message))
        return self._bodies

    @property
    def arrival(self) -> int:
        """INTERNALDATE in seconds since 1970. Raises as `message`."""
        if self._found is None:
            self._found = self.rows.view.folder.stat(self.uid)
        return int(self._found.st_mtime)


class Criterion(Protocol):
    """Something that a message matches or not."""

    @property
    def cost(self) -> Cost:
        """What `test` may have to look at."""

    def bounds(self, rows: Rows) -> Bounds:
        """Tell what columns know of a run."""

    def test(self, candidate: Candidate) -> bool:
        """Look at one message of a run whose bounds have been asked for."""


class Rows:
    """A run of a view's messages."""

    def __init__(self, view: View, first: int, end: int, table: Table | None = None) -> None:
        """``first`` and ``end`` count from 0, as the view's columns do; ``table`` aligns with them."""
        self.view = view
        self.first = first
        self.end = end
        self.table = table
        self.every = self.mask(b"\1" * (end - first))
        self.lacking: Mask = 0  # rows of which something ought to be kept and is not
        self._missing: Mask | None = None
        self._bounds: dict[Leaf, Bounds] = {}
        self._octets: dict[Leaf, tuple[bytes, bytes]] = {}

    def mask(self, octets: bytes | bytearray) -> Mask:
        return int.from_bytes(octets, "little")

    def octets(self, mask: Mask) -> bytes:
        return mask.to_bytes(self.end - self.first, "little")

    def exactly(self, mask: Mask) -> Bounds:
        return mask, mask

    def where(self, holds: Iterable[bool]) -> Bounds:
        """Give the bounds of what is known of each row."""
        return self.exactly(self.mask(bytes(holds)))

    def slices(self, slices: Iterable[tuple[int, int]]) -> Bounds:
        """Give the bounds of half-open ranges of the view's rows."""
        octets = bytearray(self.end - self.first)
        for begin, end in slices:
            begin, end = max(begin, self.first), min(end, self.end)
            if begin < end:
                octets[begin - self.first : end - self.first] = b"\1" * (end - begin)
        return self.exactly(self.mask(octets))

    @property
    def unknown(self) -> Bounds:
        return 0, self.every

    @property
    def missing(self) -> Mask:
        """The rows of messages of which nothing is kept."""
        if self._missing is None:
            if self.table is None:
                self._missing = self.every
            elif self.table.is_complete(self.first, self.end):
                self._missing = 0
            else:
                rows = self.table.rows[self.first : self.end]
                self._missing = self.mask(bytes(map(not_, rows)))
        return self._missing

    def kept(self, mask: Mask, *, untold: Mask = 0, wanted: bool = True) -> Bounds:
        """Give the bounds of what is known from kept columns.

        Args:
            untold: more rows of which they do not tell.
            wanted: it is worth reading messages of which nothing is kept.
        """
        if wanted:
            self.lacking |= self.missing
        untold |= self.missing
        return mask & (untold ^ self.every), mask | untold

    def bounds_of(self, leaf: Leaf) -> Bounds:
        """Give the bounds of a leaf, found once: it may stand in several places."""
        bounds = self._bounds.get(leaf)
        if bounds is None:
            bounds = self._bounds[leaf] = leaf.column(self)
        return bounds

    def known(self, leaf: Leaf, at: int) -> bool | None:
        """Tell what a leaf's bounds say of one row; None if they leave it open."""
        octets = self._octets.get(leaf)
        if octets is None:
            low, high = self.bounds_of(leaf)
            octets = self._octets[leaf] = (self.octets(low), self.octets(high))
        return bool(octets[0][at]) if octets[0][at] == octets[1][at] else None


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A criterion that is made of no others."""

    cost: Cost
    column: Callable[[Rows], Bounds]
    look: Callable[[Candidate], bool]  # asked only where the bounds leave it open

    def bounds(self, rows: Rows) -> Bounds:
        return rows.bounds_of(self)

    def test(self, candidate: Candidate) -> bool:
        known = candidate.rows.known(self, candidate.at)
        return self.look(candidate) if known is None else known


def by_column(column: Callable[[Rows], Bounds]) -> Leaf:
    """Give a leaf whose bounds are always exact."""
    return Leaf(Cost.COLUMNS, column, _never_asked)


def by_message(cost: Cost, look: Callable[[Candidate], bool]) -> Leaf:
    """Give a leaf of which columns know nothing."""
    return Leaf(cost, lambda rows: rows.unknown, look)


def _never_asked(candidate: Candidate) -> bool:
    raise AssertionError("bounds are exact")


NOTHING = by_column(lambda rows: rows.exactly(0))
EVERYTHING = by_column(lambda rows: rows.exactly(rows.every))


class All:
    """Every one of several criteria, the cheapest tested first."""

    def __init__(self, keys: Sequence[Criterion]) -> None:
        self._keys = sorted(keys, key=lambda key: key.cost)
        self.cost = self._keys[-1].cost

    def bounds(self, rows: Rows) -> Bounds:
        low = high = rows.every
        for key in self._keys:
            one, other = key.bounds(rows)
            low &= one
            high &= other
            if not high:
                break  # the others need not be asked: no row is left
        return low, high

    def test(self, candidate: Candidate) -> bool:
        return all(key.test(candidate) for key in self._keys)


class Either:
    """One of two criteria, the cheaper tested first."""

    def __init__(self, first: Criterion, second: Criterion) -> None:
        self._first, self._second = sorted((first, second), key=lambda key: key.cost)
        self.cost = self._second.cost

    def bounds(self, rows: Rows) -> Bounds:
        (low, high), (other_low, other_high) = self._first.bounds(rows), self._second.bounds(rows)
        return low | other_low, high | other_high

    def test(self, candidate: Candidate) -> bool:
        return self._first.test(candidate) or self._second.test(candidate)


class Negated:
    """What does not match a criterion."""

    def __init__(self, key: Criterion) -> None:
        self._key = key
        self.cost = key.cost

    def bounds(self, rows: Rows) -> Bounds:
        low, high = self._key.bounds(rows)
        return high ^ rows.every, low ^ rows.every

    def test(self, candidate: Candidate) -> bool:
        return not self._key.test(candidate)


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


def find(criterion: Criterion, view: View) -> Generator[Step, Any, bytes]:
    """Find the messages of a view that match.

    Returns: an octet for each message, 1 for those that do.
    """
    found = []
    for run in (yield from _bounds(criterion, view)):
        octets = bytearray(run.rows.octets(run.low))
        waiting = set_rows(run.rows.octets(run.low ^ run.high))
        while (yield Work(partial(_look, criterion, run.rows, waiting, octets))):
            yield b""
        found.append(bytes(octets))
    return b"".join(found)


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


def set_ranges(octets: bytes) -> Iterator[tuple[int, int]]:
    """Give the half-open ranges of the octets that are 1."""
    begin = octets.find(1)
    while begin >= 0:
        end = octets.find(0, begin)
        if end < 0:
            end = len(octets)
        yield begin, end
        begin = octets.find(1, end)


def _look(criterion: Criterion, rows: Rows, waiting: Iterator[int], octets: bytearray) -> bool:
    """Look at messages for a while; tell whether some are left."""
    until = time.monotonic() + _TURN_S
    for at in waiting:
        try:
            octets[at] = criterion.test(Candidate(rows, at))
        except MessageGone:
            pass
        except OSError as error:
            log.error("cannot search message", rows.view.folder.path, error)
        if time.monotonic() > until:
            return True
    return False
