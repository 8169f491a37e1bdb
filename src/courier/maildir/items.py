"""What is known of a folder's messages without opening them: numbers and wire-ready texts by UID.

`Items` is the folder's store of them, `Table` the part that concerns a list of UIDs, as columns that
align with that list. A message is immutable once it is delivered (Maildir's rule), so what was found
once holds as long as its UID; flags, names and MODSEQ are none of our business here.

How to use it: let the messages in `Items.missing` be described (`courier.message.facts`) and added,
then read from `Items.table(uids)`. A message whose file can't be read has no row and stays missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import accumulate, repeat
from operator import add
from typing import NamedTuple
from zlib import crc32

from courier import log
from courier.maildir.alignment import align
from courier.maildir.columns import EMPTY, Columns
from courier.maildir.index import Index
from courier.maildir.itemfile import (
    CACHE,
    CACHE_START,
    ITEMS,
    ROW,
    WORDS,
    Content,
    ItemFile,
    Kind,
    Writing,
)
from courier.maildir.snapshot import Unusable
from courier.message.facts import PIECES, Facts, Flag

#: File names that are checked in one go: what this takes in memory.
_NAMES_AT_ONCE = 10_000
#: Tables kept beside the last one: sessions that see a folder differently take turns.
_KEPT = 3
#: Times that other processes may replace the files while we want to append.
_TRIES = 20
#: Octets of the cache from which texts of messages that are gone are left out when they are half of it.
_COMPACT_LEAST = 1 << 20
#: Octets that items may take in memory where no file can hold them; then they start anew.
_MAX_PRIVATE = 64 << 20
#: Rows behind the sorted ones, as a part of them and at least, from which all are sorted again.
_UNSORTED_PART = 8
_UNSORTED_LEAST = 64


class Stored(NamedTuple):
    """A message as it is added."""

    uid: int
    name: bytes  # of the file
    file_size: int  # octets of it
    internal_date: int  # its time of modification, seconds since 1970
    facts: Facts


# A row: UID, checksum of the texts, their offset in the cache; numbers; where each piece ends, counted
# from the offset; checksum of the base name of the file, since UIDs can be given anew by a restored
# courierimapuiddb. The last words are for pieces to come.
_ENDS = 16 + len(PIECES)
_ROW = struct.Struct(f"=IIQQQqqQiI{len(PIECES)}II{WORDS - _ENDS - 1}I")
assert _ROW.size == ROW
_REST = (0,) * (WORDS - _ENDS - 1)
_CHECK, _OFFSET, _FIRST_END = 1, 2, 16
_NAME = _ENDS
_ROW_OFFSET, _ROW_LENGTH = 2, 9 + len(PIECES)  # places in what _ROW unpacks

#: The numbers that `Table.numbers` knows: place in words of four octets, and kind.
NUMBERS: dict[str, tuple[int, Kind]] = {
    "size": (4, "Q"),  # RFC822.SIZE
    "file_size": (6, "Q"),
    "internal_date": (8, "q"),  # seconds since 1970
    "sent": (10, "q"),  # seconds since 1970, UTC; the internal date if Date says nothing
    "fields": (12, "Q"),  # bit n: the header has facts.FIELDS[n]
    "sent_day": (14, "i"),  # days since 1970 in the sender's zone; see facts.Flag.NO_DATE
    "flags": (15, "I"),  # facts.Flag
}
#: What tells a message from another, and from what else was once known of it: see `Table.stamp`.
_STAMPED: tuple[tuple[int, Kind], ...] = (
    (_CHECK, "I"),
    (_NAME, "I"),
    NUMBERS["sent"],
    NUMBERS["flags"],
)
_END = {name: _FIRST_END + place for place, name in enumerate(PIECES)}
_BEGIN = {name: _FIRST_END + place - 1 for place, name in enumerate(PIECES)}
_LENGTH = _END[PIECES[-1]]


class Damaged(Exception):
    """What was known is of another message or does not pass its checksum: see `Items.give_up`."""


class Texts(NamedTuple):
    """One piece of many messages as one text, to be searched at once.

    Message n has ``text[starts[n] : starts[n + 1] - 1]``; an octet 0 stands behind each.
    """

    text: bytes
    starts: list[int]


class _Verified:
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
        self, uids: Sequence[int], content: Content, verified: _Verified, columns: Columns
    ) -> None:
        """``columns``: the folder's, by which the names of the messages are checked."""
        self.uids = uids
        self.content = content
        self._verified = verified
        self._folder = columns
        self.rows = align(uids, content, verified.foreign)
        self.foreign: set[int] = set()  # rows found to be of other messages
        self._stamp: bytes | None = None
        self._columns: dict[tuple[int, Kind], memoryview] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def is_complete(self, start: int = 0, stop: int | None = None) -> bool:
        """Tell whether each of these messages is known."""
        rows = self.rows if stop is None and not start else self.rows[start:stop]
        return isinstance(rows, range) or 0 not in rows

    def missing(self) -> list[int]:
        """List the UIDs of messages that are not known."""
        if self.is_complete():
            return []
        return [uid for uid, row in zip(self.uids, self.rows, strict=True) if not row]

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
        offsets = self._pick(_OFFSET, "Q", rows)
        ends = self._pick(_END[name], "I", rows)
        begins = offsets
        if _BEGIN[name] >= _FIRST_END:
            begins = list(map(add, offsets, self._pick(_BEGIN[name], "I", rows)))
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
            digest = blake2b(array("I", self.uids), digest_size=16)
            for word, kind in _STAMPED:
                digest.update(array(kind, self._pick(word, kind, self.rows)))
            self._stamp = digest.digest()
        return self._stamp

    def octets(self, start: int = 0, stop: int | None = None) -> int:
        """Count the octets of all the texts of these messages."""
        return sum(self._pick(_LENGTH, "I", self._rows(start, stop)))

    def _rows(self, start: int, stop: int | None) -> Sequence[int]:
        return self.rows if stop is None and not start else self.rows[start:stop]

    def _column(self, word: int, kind: Kind) -> memoryview:
        column = self._columns.get((word, kind))
        if column is None:
            column = self._columns[word, kind] = self.content.column(word, kind)
        return column

    def _pick(self, word: int, kind: Kind, rows: Sequence[int]) -> list[int]:
        column = self._column(word, kind)
        if isinstance(rows, range):
            return column[rows.start : rows.stop].tolist()
        # Row 0 is the header of the file, which holds other things.
        return [column[row] if row else 0 for row in rows]

    def _verify(self, rows: Sequence[int]) -> None:
        """Check texts that nobody in this process has looked at yet."""
        verified = self._verified.texts
        if isinstance(rows, range):
            if verified.count(1, rows.start, rows.stop) == len(rows):
                return
        else:
            rows = [row for row in rows if row and not verified[row]]
            if not rows:
                return
        offsets = self._pick(_OFFSET, "Q", rows)
        ends = map(add, offsets, self._pick(_LENGTH, "I", rows))
        records = map(self.content.cache.__getitem__, map(slice, offsets, ends))
        if list(map(crc32, records)) != self._pick(_CHECK, "I", rows):
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
            column = self._column(_NAME, "I")
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


class Items:
    """What is known of one folder's messages, in files that all its processes share.

    Safe to call from several threads. Files that can't be used (damaged, of another owner, on a full
    disk) are replaced or done without: that costs time, and a line in the log once.
    """

    def __init__(self, path: str | None, index_dir: str | None = None) -> None:
        """Nothing is read before it is asked for.

        Args:
            path: of the folder; None: keep everything in memory.
            index_dir: see `Index`.
        """
        self.path = path
        self.index_dir = index_dir
        self.uidvalidity = 0
        self._mutex = threading.RLock()
        self._file: ItemFile | None = None
        self._verified = _Verified()
        self._tables: list[Table] = []
        self._complained = False

    def is_shared(self, uidvalidity: int) -> bool:
        """Tell whether what is added is kept in files, for other processes too."""
        with self._mutex:
            return not self._open(uidvalidity).is_private

    def table(self, uidvalidity: int, uids: Sequence[int], columns: Columns = EMPTY) -> Table:
        """Give what is known of these messages (``uids`` ascend and are never altered).

        Args:
            columns: the folder's. Messages that are not in them are gone.
        """
        with self._mutex:
            file = self._open(uidvalidity)
            found = next((table for table in self._tables if table.uids is uids), None)
            if found is not None and found.is_complete():
                return found
            file = self._refreshed(file)
            if found is None or found.content is not file.content:
                self._verified.grow(file.content.end)
                self._tables = [table for table in self._tables if table is not found][:_KEPT]
                found = Table(uids, file.content, self._verified, columns)
                self._tables.insert(0, found)
            return found

    def add(self, uidvalidity: int, stored: Sequence[Stored]) -> None:
        """Add messages, but for those that another process has added meanwhile.

        Others see either all of them or none; so does a crash leave it.
        """
        with self._mutex:
            try:
                self._append(uidvalidity, stored)
            except OSError as error:
                self._complain(error)
                self._use(ItemFile.create(None, uidvalidity))
                self._append(uidvalidity, stored)

    def tidy(self, uidvalidity: int, present: Sequence[int]) -> None:
        """Sort the rows if many are not in order, and leave out messages that are gone.

        If more than half of the texts are of such messages, they are left out too.

        Args:
            present: the UIDs in the folder, ascending. A row too many taken away is found anew.

        Others see the old rows or the new ones; so does a crash leave it.
        """
        with self._mutex:
            file = self._refreshed(self._open(uidvalidity))
            if not _wants_sorting(file.content, len(present)):
                return
            try:
                with file.locked() as writing:
                    rows = _sorted_rows(file.content, present)
                    texts = _octets(rows)
                    if len(file.content.cache) > _COMPACT_LEAST + 2 * texts:
                        fresh = _compacted(file, uidvalidity, rows, self._place()[1])
                    else:
                        fresh = writing.rewrite(uidvalidity, rows, self._place()[1])
            except Unusable:  # somebody else has just done it
                return
            except OSError as error:
                self._complain(error)
                return
            self._use(fresh)

    def give_up(self, table: Table) -> None:
        """Throw away what is damaged: what belongs to other messages now, or else all of it."""
        with self._mutex:
            if self._file is None or not any(table is one for one in self._tables):
                return
            if table.foreign:
                self._verified.foreign |= table.foreign
                self._tables = []
            else:
                self._complain(Unusable("texts damaged"))
                self._use(self._create(self.uidvalidity))

    def drop(self) -> None:
        """Remove the files. Raises OSError."""
        with self._mutex:
            self._file, self._tables = None, []
            directory, _ = self._place()
            if directory is None:
                return
            for name in (ITEMS, CACHE):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(directory, name))

    # -- under the mutex -------------------------------------------------------------------

    def _place(self) -> tuple[str | None, str | None]:
        """Give the directory of the files, and one for files being written; None: memory only.

        Raises: Unusable, OSError.
        """
        if self.path is None:
            return None, None
        index = Index(self.path, self.index_dir)
        if not index.may_write():
            return None, None
        index.make_directory()
        temporary = os.path.join(self.path, "tmp") if self.index_dir is None else None
        return index.path, temporary

    def _open(self, uidvalidity: int) -> ItemFile:
        if self._file is not None and self.uidvalidity == uidvalidity:
            return self._file
        self.uidvalidity = uidvalidity
        try:
            directory, _ = self._place()
            if directory is not None:
                return self._use(ItemFile.open(directory, uidvalidity))
        except Unusable as fault:
            if str(fault):
                self._complain(fault)
        except OSError as error:
            self._complain(error)
        return self._use(self._create(uidvalidity))

    def _create(self, uidvalidity: int) -> ItemFile:
        try:
            directory, temporary = self._place()
            if directory is not None:
                return ItemFile.create(directory, uidvalidity, temporary)
        except (OSError, Unusable) as error:
            self._complain(error)
        return ItemFile.create(None, uidvalidity)

    def _use(self, file: ItemFile) -> ItemFile:
        self._file, self._tables, self._verified = file, [], _Verified()
        return file

    def _refreshed(self, file: ItemFile) -> ItemFile:
        """Take up what others did: more rows, or other files under the names."""
        try:
            file.refresh()
        except (OSError, Unusable):
            self._file = None
            return self._open(self.uidvalidity)
        return file

    def _append(self, uidvalidity: int, stored: Sequence[Stored]) -> None:
        file = self._open(uidvalidity)
        if file.is_private and len(file.content.cache) > _MAX_PRIVATE:
            file = self._use(ItemFile.create(None, uidvalidity))
        before = file.content.end
        for _ in range(_TRIES):
            try:
                with file.locked() as writing:
                    _append_new(file, writing, stored, before)
                    return
            except Unusable:  # others have replaced the files
                self._file = None
                file, before = self._open(uidvalidity), 1
        raise OSError(errno.EBUSY, "index replaced again and again", self.path)

    def _complain(self, error: Exception) -> None:
        """Log that the files are of no use, once."""
        if not self._complained and self.path is not None:
            self._complained = True
            log.index_unusable(self.path, error)


def _append_new(file: ItemFile, writing: Writing, stored: Iterable[Stored], before: int) -> None:
    """Append what is not in the rows from ``before`` on."""
    known = set(file.content.column(0)[before : file.content.end].tolist())
    at = writing.cache_end()
    rows, texts = [], []
    for each in stored:
        if each.uid not in known:
            row, text = _row(each, at)
            rows.append(row)
            texts.append(text)
            at += len(text)
    if rows:
        writing.append(rows, b"".join(texts))


def _row(stored: Stored, offset: int) -> tuple[bytes, bytes]:
    facts = stored.facts
    text = b"".join(facts.pieces)
    ends = accumulate(map(len, facts.pieces))
    sent = stored.internal_date if facts.flags & Flag.NO_DATE else facts.sent
    row = _ROW.pack(
        *(stored.uid, crc32(text), offset, facts.size, stored.file_size),
        *(_long(stored.internal_date), _long(sent), facts.fields, facts.sent_day, facts.flags),
        *ends,
        crc32(stored.name.partition(b":")[0]),
        *_REST,
    )
    return row, text


def _long(number: int) -> int:
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def _wants_sorting(content: Content, present: int) -> bool:
    """Tell whether many rows are out of order, or of messages that are gone."""
    rows = content.end - 1
    odd = max(rows - content.sorted_rows, rows - present)
    return odd > max(_UNSORTED_LEAST, present // _UNSORTED_PART)


def _sorted_rows(content: Content, present: Sequence[int]) -> list[bytes]:
    """Give the rows of the messages that there are, ascending."""
    rows = [row for row in align(present, content) if row]
    return [bytes(content.rows[row * ROW : (row + 1) * ROW]) for row in rows]


def _octets(rows: Iterable[bytes]) -> int:
    """Count the octets of the texts of rows."""
    return sum(_ROW.unpack(row)[_ROW_LENGTH] for row in rows)


def _compacted(
    file: ItemFile, uidvalidity: int, rows: Iterable[bytes], temporary: str | None
) -> ItemFile:
    """Write new files with the texts of these rows alone."""
    at = CACHE_START
    moved: list[bytes] = []
    texts: list[bytes | memoryview] = []
    for row in rows:
        numbers = list(_ROW.unpack(row))
        length = numbers[_ROW_LENGTH]
        texts.append(file.content.cache[numbers[_ROW_OFFSET] : numbers[_ROW_OFFSET] + length])
        numbers[_ROW_OFFSET] = at
        moved.append(_ROW.pack(*numbers))
        at += length
    return file.remade(uidvalidity, moved, texts, temporary)
