"""Items of a list of messages, as columns that align with their UIDs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate, repeat
from operator import add
from typing import NamedTuple
from zlib import crc32

from courier.maildir.alignment import Runs, align
from courier.maildir.columns import Columns
from courier.maildir.itemfile import Content, Kind
from courier.maildir.itemrow import (
    BEGIN,
    CHECK,
    END,
    FIRST_END,
    LENGTH,
    NAME,
    NUMBERS,
    OFFSET,
)

#: What tells a message from another, and from what else was once known of it: see `Table.stamp`.
_STAMPED: tuple[tuple[int, Kind], ...] = (
    (CHECK, "I"),
    (NAME, "I"),
    NUMBERS["sent"],
    NUMBERS["flags"],
)
#: File names that are checked in one go: what this takes in memory.
_NAMES_AT_ONCE = 10_000


class Damaged(Exception):
    """What was known is of another message or does not pass its checksum: see `Items.give_up`."""


class Texts(NamedTuple):
    """One piece of many messages as one text, to be searched at once.

    Message n has ``text[starts[n] : starts[n + 1] - 1]``; an octet 0 stands behind each.
    """

    text: bytes
    starts: list[int]


class Verified:
    """Which rows somebody in this process has looked at, and found right."""

    def __init__(self) -> None:
        self.texts = bytearray()  # by row, 1: the texts have passed their checksum
        self.names = bytearray()  # and: the file of this UID has the name that it had
        self.foreign: frozenset[int] = frozenset()  # rows of which that is not so

    def grow(self, rows: int) -> None:
        self.texts.extend(bytes(rows - len(self.texts)))
        self.names.extend(bytes(rows - len(self.names)))


class Table:
    """What is known of a list of UIDs, at one moment; it stays true whatever others add later."""

    def __init__(
        self, uids: Sequence[int], content: Content, verified: Verified, columns: Columns
    ) -> None:
        """``columns``: the folder's, by which the names of the messages are checked."""
        self.uids = uids
        self.content = content
        self._verified = verified
        self._folder = columns
        self.rows = align(uids, content, verified.foreign)
        self.foreign: set[int] = set()  # rows found to be of other messages
        self._is_complete = isinstance(self.rows, range) or 0 not in self.rows
        self._stamp: bytes | None = None
        self._columns: dict[tuple[int, Kind], memoryview] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def is_complete(self, start: int = 0, stop: int | None = None) -> bool:
        """Tell whether each of these messages is known."""
        return self._is_complete or 0 not in self._rows(start, stop)

    def missing(self) -> list[int]:
        """List the UIDs of messages that are not known."""
        if self.is_complete():
            return []
        missing: list[int] = []
        at = 0
        for rows in self._parts(self.rows):
            if not isinstance(rows, range):
                missing += [self.uids[at + place] for place, row in enumerate(rows) if not row]
            at += len(rows)
        return missing

    def numbers(self, name: str, start: int = 0, stop: int | None = None) -> list[int]:
        """Give one of `NUMBERS` for messages ``start`` to ``stop``; 0 for those not known.

        Raises:
            Damaged: see `Items.give_up`.
        """
        rows = self._rows(start, stop)
        self._check_names(start, len(rows))
        return self._pick(*NUMBERS[name], rows)

    def pieces(self, name: str, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Give one of `PIECES` for messages ``start`` to ``stop``; empty for those not known.

        Raises:
            Damaged: see `Items.give_up`.
        """
        return list(map(bytes, self.views(name, start, stop)))

    def views(self, name: str, start: int = 0, stop: int | None = None) -> list[memoryview]:
        """Give what `pieces` does, without copying it."""
        rows = self._rows(start, stop)
        self._check_names(start, len(rows))
        self._verify(rows)
        offsets = self._pick(OFFSET, "Q", rows)
        ends = self._pick(END[name], "I", rows)
        begins = offsets
        if BEGIN[name] >= FIRST_END:
            begins = list(map(add, offsets, self._pick(BEGIN[name], "I", rows)))
        return list(
            map(self.content.cache.__getitem__, map(slice, begins, map(add, offsets, ends)))
        )

    def texts(self, name: str, start: int = 0, stop: int | None = None) -> Texts:
        """Give one of `PIECES` as one text. Raises as `pieces`."""
        views = self.views(name, start, stop)
        starts = list(accumulate(map(add, map(len, views), repeat(1)), initial=0))
        views.append(memoryview(b""))
        return Texts(b"\0".join(views), starts)

    def stamp(self) -> bytes | None:
        """Name what is known of all these messages, in 16 octets; None if some are not known.

        Raises: as `numbers`.
        """
        if not self.is_complete():
            return None
        self._check_names(0, len(self.rows))
        if self._stamp is None:
            uids = self.uids
            kept = uids if isinstance(uids, array | memoryview) else array("I", uids)
            digest = blake2b(kept, digest_size=16)
            for word, kind in _STAMPED:
                digest.update(self._octets(word, kind))
            self._stamp = digest.digest()
        return self._stamp

    def unchecked_flags(self, start: int, stop: int) -> list[int]:
        """Give the flags of messages, though they may be of others by now: see `numbers`."""
        return self._pick(*NUMBERS["flags"], self.rows[start:stop])

    def octets(self, start: int = 0, stop: int | None = None) -> int:
        """Count the octets of all the texts of these messages."""
        return sum(self._pick(LENGTH, "I", self._rows(start, stop)))

    def _rows(self, start: int, stop: int | None) -> Sequence[int]:
        return self.rows if stop is None and not start else self.rows[start:stop]

    def _parts(self, rows: Sequence[int]) -> Iterable[Sequence[int]]:
        """Give rows as ranges and arrays."""
        return rows.parts() if isinstance(rows, Runs) else (rows,)

    def _column(self, word: int, kind: Kind) -> memoryview:
        column = self._columns.get((word, kind))
        if column is None:
            column = self._columns[word, kind] = self.content.column(word, kind)
        return column

    def _pick(self, word: int, kind: Kind, rows: Sequence[int]) -> list[int]:
        column = self._column(word, kind)
        if isinstance(rows, range):
            return column[rows.start : rows.stop].tolist()
        if isinstance(rows, Runs):
            return [number for part in rows.parts() for number in self._pick(word, kind, part)]
        # Row 0 is the header of the file, which holds other things.
        return [column[row] if row else 0 for row in rows]

    def _octets(self, word: int, kind: Kind) -> bytes:
        """Give what `_pick` does of all rows, as it lies in memory."""
        if isinstance(self.rows, range):
            return self._column(word, kind)[self.rows.start : self.rows.stop].tobytes()
        return array(kind, self._pick(word, kind, self.rows)).tobytes()

    def _verify(self, rows: Sequence[int]) -> None:
        """Check texts that nobody in this process has looked at yet."""
        if isinstance(rows, Runs):
            for part in rows.parts():
                self._verify(part)
            return
        verified = self._verified.texts
        if isinstance(rows, range):
            if verified.count(1, rows.start, rows.stop) == len(rows):
                return
        else:
            rows = [row for row in rows if row and not verified[row]]
            if not rows:
                return
        offsets = self._pick(OFFSET, "Q", rows)
        ends = map(add, offsets, self._pick(LENGTH, "I", rows))
        records = map(self.content.cache.__getitem__, map(slice, offsets, ends))
        if list(map(crc32, records)) != self._pick(CHECK, "I", rows):
            raise Damaged
        if isinstance(rows, range):
            verified[rows.start : rows.stop] = b"\1" * len(rows)
        else:
            for row in rows:
                verified[row] = 1

    def _check_names(self, start: int, count: int) -> None:
        """Check that the messages are still those that were described under their UIDs."""
        named = self._verified.names
        for first in range(start, start + count, _NAMES_AT_ONCE):
            stop = min(first + _NAMES_AT_ONCE, start + count)
            rows = self.rows[first:stop]
            if isinstance(rows, range):
                if named.count(1, rows.start, rows.stop) == len(rows):
                    continue
            elif all(map(named.__getitem__, filter(None, rows))):
                continue
            column = self._column(NAME, "I")
            for row, name in zip(rows, self._names(first, stop), strict=True):
                if row and name is not None:
                    if column[row] == crc32(name.partition(b":")[0]):
                        named[row] = 1
                    else:
                        self.foreign.add(row)
        if self.foreign:
            raise Damaged

    def _names(self, start: int, stop: int) -> Iterable[bytes | None]:
        """Give the names of the files; None for messages that are gone."""
        folder = self._folder
        if folder.uids is self.uids:
            return folder.names.between(start, stop)
        places = (folder.row(self.uids[place]) for place in range(start, stop))
        return [None if place is None else folder.names[place] for place in places]
