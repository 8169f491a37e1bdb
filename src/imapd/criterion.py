"""Criteria: what a message matches or not, asked of a run of messages at a time, or of one message.

A criterion gives, for a run of a view's rows, bounds: rows that match for certain, and rows that may
match. Columns give both for whole runs at a time, without a call per message, from what the view has
and from what is kept of messages (`courier.maildir.items`). Rows between the bounds are for `test`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import not_
from typing import Protocol

from courier.maildir.items import Table
from courier.maildir.view import View
from courier.message import text
from courier.message.message import Message

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

    @property
    def asks_modseq(self) -> bool:
        """Whether MODSEQ is part of it: then the answer tells one (RFC 7162 3.1.5)."""

    @property
    def names_numbers(self) -> bool:
        """Whether sequence numbers are part of it: then no message's removal is told meanwhile."""

    def bounds(self, rows: Rows) -> Bounds:
        """Tell what columns know of a run."""

    def scope(self, rows: Rows) -> Mask:
        """Tell which rows have to be searched, when numbers and UIDs in it are all that one looks at."""

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
    asks_modseq: bool = False
    names_numbers: bool = False
    is_scope: bool = False  # it names messages by number or UID

    def bounds(self, rows: Rows) -> Bounds:
        return rows.bounds_of(self)

    def scope(self, rows: Rows) -> Mask:
        return self.bounds(rows)[1] if self.is_scope else rows.every

    def test(self, candidate: Candidate) -> bool:
        known = candidate.rows.known(self, candidate.at)
        return self.look(candidate) if known is None else known


def by_column(column: Callable[[Rows], Bounds]) -> Leaf:
    """Give a leaf whose bounds are always exact."""
    return Leaf(Cost.COLUMNS, column, _never_asked)


def by_number(column: Callable[[Rows], Bounds]) -> Leaf:
    """Give a leaf whose bounds are always exact and that names sequence numbers."""
    return Leaf(Cost.COLUMNS, column, _never_asked, names_numbers=True, is_scope=True)


def by_uid(column: Callable[[Rows], Bounds]) -> Leaf:
    """Give a leaf whose bounds are always exact and that names UIDs."""
    return Leaf(Cost.COLUMNS, column, _never_asked, is_scope=True)


def by_modseq(column: Callable[[Rows], Bounds]) -> Leaf:
    """Give a leaf whose bounds are always exact and tell of MODSEQs."""
    return Leaf(Cost.COLUMNS, column, _never_asked, asks_modseq=True)


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
        self.asks_modseq = any(key.asks_modseq for key in keys)
        self.names_numbers = any(key.names_numbers for key in keys)

    def bounds(self, rows: Rows) -> Bounds:
        low = high = rows.every
        for key in self._keys:
            one, other = key.bounds(rows)
            low &= one
            high &= other
            if not high:
                break  # the others need not be asked: no row is left
        return low, high

    def scope(self, rows: Rows) -> Mask:
        scope = rows.every
        for key in self._keys:
            scope &= key.scope(rows)
        return scope

    def test(self, candidate: Candidate) -> bool:
        return all(key.test(candidate) for key in self._keys)


class Either:
    """One of two criteria, the cheaper tested first."""

    def __init__(self, first: Criterion, second: Criterion) -> None:
        self._first, self._second = sorted((first, second), key=lambda key: key.cost)
        self.cost = self._second.cost
        self.asks_modseq = first.asks_modseq or second.asks_modseq
        self.names_numbers = first.names_numbers or second.names_numbers

    def bounds(self, rows: Rows) -> Bounds:
        (low, high), (other_low, other_high) = self._first.bounds(rows), self._second.bounds(rows)
        return low | other_low, high | other_high

    def scope(self, rows: Rows) -> Mask:
        return rows.every

    def test(self, candidate: Candidate) -> bool:
        return self._first.test(candidate) or self._second.test(candidate)


class Negated:
    """What does not match a criterion."""

    def __init__(self, key: Criterion) -> None:
        self._key = key
        self.cost = key.cost
        self.asks_modseq = key.asks_modseq
        self.names_numbers = key.names_numbers

    def bounds(self, rows: Rows) -> Bounds:
        low, high = self._key.bounds(rows)
        return high ^ rows.every, low ^ rows.every

    def scope(self, rows: Rows) -> Mask:
        return rows.every

    def test(self, candidate: Candidate) -> bool:
        return not self._key.test(candidate)
