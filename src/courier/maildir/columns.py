"""A folder's messages as columns of plain values: one row per message, ascending by UID.

`Columns` is immutable: a change makes another one that shares every column it leaves alone, so
a session may go on reading the one it holds. No Python object is kept per message: a column is
an array, or a memoryview of the index file that the system keeps in memory for all processes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import NamedTuple, TypeAlias

from courier.maildir import filename

#: An array of C integers, a view of the index file cast to such, or octets. Never altered.
Column: TypeAlias = "array[int] | memoryview | bytes"

#: Renamed files are noted beside the packed text until there are this many.
_REPACK_AFTER = 4096
#: A start with this bit is no place in the text but the number of a name kept beside it.
_BESIDE = 1 << 63


class Row(NamedTuple):
    """One message: what all columns say about it."""

    uid: int
    name: bytes
    in_new: bool
    flags: int
    keywords: int


class Names:
    """Names of message files, packed into one text. Immutable; a name holds no line feed."""

    __slots__ = ("_beside", "_is_whole", "_lengths", "_renamed", "_starts", "_text")

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        listed = list(names)
        self._text: bytes | memoryview = b"\n".join(listed)
        self._lengths: Column = array("H", list(map(len, listed)))
        self._starts: Column = _starts(self._lengths)
        self._beside: list[bytes] = []  # only grows: shared with the names made from these
        self._renamed: Mapping[int, bytes] = {}
        self._is_whole = True  # the text holds just these names, in this order

    @classmethod
    def packed(cls, text: bytes | memoryview, starts: Column, lengths: Column) -> Names:
        """Take columns as `parts` gave them."""
        names = cls.__new__(cls)
        names._text, names._starts, names._lengths = text, starts, lengths
        names._beside, names._renamed, names._is_whole = [], {}, True
        return names

    def parts(self) -> tuple[bytes | memoryview, Column, Column]:
        """Give text, starts and lengths, for storing."""
        whole = self.whole()
        return whole._text, whole._starts, whole._lengths

    def whole(self) -> Names:
        """Give the same names in one text."""
        if not self._is_whole:
            return Names(self.listed())
        if not self._renamed:
            return self
        pieces, end = [], 0  # what is between the renamed ones stays in one piece
        lengths = copied("H", self._lengths)
        for row, name in sorted(self._renamed.items()):
            start = self._starts[row]
            pieces += [self._text[end:start], name]
            end = start + lengths[row]
            lengths[row] = len(name)
        text = b"".join([*pieces, self._text[end:]])
        return Names.packed(text, _starts(lengths), lengths)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, row: int) -> bytes:
        renamed = self._renamed.get(row)
        if renamed is not None:
            return renamed
        start = self._starts[row]
        if start >= _BESIDE:
            return self._beside[start - _BESIDE]
        return bytes(self._text[start : start + self._lengths[row]])

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.listed())

    def listed(self) -> list[bytes]:
        """Give all names, in the order of their rows."""
        if not self:
            return []
        if self._is_whole:
            names = bytes(self._text).split(b"\n")
        else:
            text, beside = bytes(self._text), self._beside
            names = [
                text[start : start + length] if start < _BESIDE else beside[start - _BESIDE]
                for start, length in zip(self._starts, self._lengths, strict=True)
            ]
        for row, name in self._renamed.items():
            names[row] = name
        return names

    def between(self, start: int, stop: int) -> list[bytes]:
        """Give the names of rows ``start`` to ``stop`` (``start < stop``)."""
        if not self._is_whole:
            return [self[row] for row in range(start, stop)]
        begin, end = self._starts[start], self._starts[stop - 1] + self._lengths[stop - 1]
        names = bytes(self._text[begin:end]).split(b"\n")
        if self._renamed:
            for row in range(start, stop):
                names[row - start] = self._renamed.get(row, names[row - start])
        return names

    def with_names(self, changes: Mapping[int, bytes]) -> Names:
        """Give the same names but for the rows in ``changes``."""
        other = Names.packed(self._text, self._starts, self._lengths)
        other._beside, other._is_whole = self._beside, self._is_whole
        other._renamed = {**self._renamed, **changes}
        return other if len(other._renamed) <= _REPACK_AFTER else other._put_beside()

    def edited(self, edit: Edit, added: Sequence[bytes]) -> Names:
        """Give the names that are left and added by ``edit``."""
        folded = self._put_beside()
        beside = folded._beside
        if len(beside) > len(self) // 2 + _REPACK_AFTER or not self:
            folded = Names(folded.listed())
            beside = folded._beside
        begin = len(beside) + _BESIDE
        beside.extend(added)
        starts = edit.column("Q", folded._starts, array("Q", range(begin, begin + len(added))))
        lengths = edit.column("H", folded._lengths, array("H", bytes(2 * len(added))))
        other = Names.packed(folded._text, starts, lengths)
        other._beside, other._is_whole = beside, False
        return other if len(self) else Names(other.listed())

    def _put_beside(self) -> Names:
        """Give the same names with those of renamed files beside the text."""
        if not self._renamed:
            return self
        starts = copied("Q", self._starts)
        for row, name in self._renamed.items():
            starts[row] = _BESIDE + len(self._beside)
            self._beside.append(name)
        other = Names.packed(self._text, starts, self._lengths)
        other._beside, other._is_whole = self._beside, False
        return other


def _starts(lengths: Column) -> array[int]:
    """Say where names of these lengths begin in their text."""
    ends = list(accumulate(map((1).__add__, lengths), initial=0))
    return array("Q", ends[:-1])


class Edit:
    """Which rows of the old columns stay, and where new ones come between them."""

    def __init__(self, old: Column, removed: Iterable[int], added: Column) -> None:
        """Take ``old`` and ``added`` UIDs, ascending, and rows to be ``removed``."""
        places = [(bisect_left(old, uid), 1) for uid in added]
        steps = sorted(chain(places, ((row, 0) for row in removed)))
        self._pieces: list[tuple[int, int, int, int]] = []  # rows kept, then rows added
        kept = taken = 0
        begin = 0
        for row, is_added in steps:
            if row > begin:
                self._pieces.append((begin, row, kept, taken))
                begin, kept = row, taken
            if is_added:
                taken += 1
            else:
                begin = row + 1
        self._pieces.append((begin, len(old), kept, taken))

    def column(self, code: str, old: Column, added: array[int]) -> array[int]:
        """Give the new column. Each piece is: rows added before, then old rows kept."""
        source, extra = octets(old), octets(added)
        size = array(code).itemsize
        result = array(code)
        for begin, end, first, last in self._pieces:
            if first < last:
                result.frombytes(extra[first * size : last * size])
            if begin < end:
                result.frombytes(source[begin * size : end * size])
        return result


def octets(column: Column) -> memoryview:
    """Give a column's memory."""
    return memoryview(column).cast("B") if len(column) else memoryview(b"")


def copied(code: str, column: Column) -> array[int]:
    """Give an array of the same values, to be altered."""
    result = array(code)
    result.frombytes(octets(column))
    return result


def joined(code: str, first: Iterable[int], column: Column) -> array[int]:
    """Give ``first`` followed by ``column``."""
    result = array(code, first)
    result.frombytes(octets(column))
    return result


@dataclass(frozen=True, slots=True)
class Columns:
    """One row per message. Nothing in here is ever altered."""

    uids: Column  # "I": ascending, unique
    names: Names  # file name in cur/, or in new/ for the UIDs in `in_new`
    flags: bytes  # one octet per message: filename.Flag bits
    keywords: Column  # "I": number into the folder's table of keyword sets; 0 is none
    modseqs: Column  # "Q"
    in_new: frozenset[int]  # UIDs whose file still lies in new/
    highest: int  # MODSEQ of the last change that is in here

    def __len__(self) -> int:
        return len(self.uids)

    def row(self, uid: int) -> int | None:
        """Find the row of ``uid``; None when there is no such message."""
        return row_of(self.uids, uid)

    def message(self, uid: int) -> Row | None:
        """Give the row of ``uid``."""
        row = row_of(self.uids, uid)
        if row is None:
            return None
        return Row(uid, self.names[row], uid in self.in_new, self.flags[row], self.keywords[row])

    def with_changes(
        self, rows: Sequence[Row], gone: Collection[int], modseq: int, silent: Collection[int] = ()
    ) -> Columns:
        """Give columns in which ``rows`` stand in place of what was there, or have come.

        Args:
            gone: UIDs of messages that are not there any more.
            silent: UIDs among ``rows`` whose MODSEQ stays: only their file's name changed.
        """
        given = {row.uid: modseq for row in rows if row.uid not in silent}
        return self.with_history(rows, gone, given, modseq)

    def with_history(
        self, rows: Sequence[Row], gone: Collection[int], modseqs: Mapping[int, int], highest: int
    ) -> Columns:
        """Do what `with_changes` does for many changes at once.

        Args:
            modseqs: by UID, of those among ``rows`` whose MODSEQ does not stay.
        """
        known = [(at, row) for row in rows if (at := self.row(row.uid)) is not None]
        result = self._altered(known, modseqs) if known else self
        if len(known) < len(rows) or gone:
            had = {row.uid for _, row in known}
            fresh = sorted(row for row in rows if row.uid not in had)
            result = result._edited(fresh, gone, modseqs)
        waiting = frozenset(row.uid for row in rows if row.in_new)
        if waiting or self.in_new:
            in_new = (self.in_new - {row.uid for row in rows} - frozenset(gone)) | waiting
            result = replace(result, in_new=in_new)
        return replace(result, highest=max(self.highest, highest))

    def _altered(self, known: Sequence[tuple[int, Row]], modseqs: Mapping[int, int]) -> Columns:
        """Change rows that are there; columns in which nothing differs are shared."""
        names = {at: row.name for at, row in known if row.name != self.names[at]}
        flags = [(at, row.flags) for at, row in known if row.flags != self.flags[at]]
        words = [(at, row.keywords) for at, row in known if row.keywords != self.keywords[at]]
        told = [(at, modseqs[row.uid]) for at, row in known if row.uid in modseqs]
        changed = bytearray(self.flags) if flags else None
        for at, value in flags:
            assert changed is not None
            changed[at] = value
        return replace(
            self,
            names=self.names.with_names(names) if names else self.names,
            flags=self.flags if changed is None else bytes(changed),
            keywords=_with_values("I", self.keywords, words),
            modseqs=_with_values("Q", self.modseqs, told),
        )

    def _edited(
        self, fresh: Sequence[Row], gone: Collection[int], modseqs: Mapping[int, int]
    ) -> Columns:
        rows = [at for uid in gone if (at := self.row(uid)) is not None]
        if not rows and not fresh:
            return self
        uids = array("I", [row.uid for row in fresh])
        edit = Edit(self.uids, rows, uids)
        flags = array("B", [row.flags for row in fresh])
        return Columns(
            edit.column("I", self.uids, uids),
            self.names.edited(edit, [row.name for row in fresh]),
            edit.column("B", self.flags, flags).tobytes(),
            edit.column("I", self.keywords, array("I", [row.keywords for row in fresh])),
            edit.column("Q", self.modseqs, array("Q", [modseqs[row.uid] for row in fresh])),
            self.in_new,
            self.highest,
        )


def _with_values(code: str, column: Column, values: Sequence[tuple[int, int]]) -> Column:
    if not values:
        return column
    changed = copied(code, column)
    for at, value in values:
        changed[at] = value
    return changed


def row_of(uids: Column, uid: int) -> int | None:
    """Find ``uid`` in an ascending column; None when it is not there."""
    row = bisect_left(uids, uid)
    return row if row < len(uids) and uids[row] == uid else None


class Bases:
    """Finds messages by base name. The table is made when it is first needed."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._names = names
        self._rows: dict[bytes, int] | None = None

    def row(self, base: bytes) -> int | None:
        return self._table().get(base)

    def __contains__(self, base: object) -> bool:
        return base in self._table()

    def _table(self) -> dict[bytes, int]:
        if self._rows is None:
            self._rows = {filename.base(name): row for row, name in enumerate(self._names)}
        return self._rows


EMPTY = Columns(array("I"), Names(), b"", array("I"), array("Q"), frozenset(), 0)
