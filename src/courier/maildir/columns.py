"""A folder's messages as columns of plain values: one row per message, ascending by UID.

`Columns` is immutable: a change makes another one that shares every column it leaves alone, so
a session may go on reading the one it holds. No Python object is kept per message.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

#: Renamed files are noted beside the packed text until there are this many.
_REPACK_AFTER = 4096


class Names:
    """Names of message files, packed into one text. Immutable; a name holds no line feed."""

    __slots__ = ("_renamed", "_starts", "_text")

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        listed = list(names)
        self._text = b"\n".join(listed)
        self._starts = array("Q", accumulate((len(name) + 1 for name in listed), initial=0))
        self._renamed: Mapping[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: int) -> bytes:
        renamed = self._renamed.get(row)
        if renamed is not None:
            return renamed
        return self._text[self._starts[row] : self._starts[row + 1] - 1]

    def __iter__(self) -> Iterator[bytes]:
        if not self:
            return
        if not self._renamed:
            yield from self._text.split(b"\n")
            return
        for row, name in enumerate(self._text.split(b"\n")):
            yield self._renamed.get(row, name)

    def with_names(self, changes: Mapping[int, bytes]) -> Names:
        """Give the same names but for the rows in ``changes``."""
        if len(self._renamed) + len(changes) > _REPACK_AFTER:
            listed = list(self)
            for row, name in changes.items():
                listed[row] = name
            return Names(listed)
        other = Names.__new__(Names)
        other._text = self._text
        other._starts = self._starts
        other._renamed = {**self._renamed, **changes}
        return other


@dataclass(frozen=True, slots=True)
class Columns:
    """One row per message. ``array`` columns are never altered once they are here."""

    uids: array[int]  # "I": ascending, unique
    names: Names  # file name in cur/, or in new/ for the UIDs in `in_new`
    flags: bytes  # one octet per message: filename.Flag bits
    keywords: array[int]  # "I": number into the folder's table of keyword sets; 0 is none
    modseqs: array[int]  # "Q"
    in_new: frozenset[int]  # UIDs whose file still lies in new/
    highest: int  # MODSEQ of the last change that is in here

    def __len__(self) -> int:
        return len(self.uids)

    def row(self, uid: int) -> int | None:
        """Find the row of ``uid``; None when there is no such message."""
        return row_of(self.uids, uid)


def row_of(uids: array[int], uid: int) -> int | None:
    """Find ``uid`` in an ascending column; None when it is not there."""
    row = bisect_left(uids, uid)
    return row if row < len(uids) and uids[row] == uid else None


EMPTY = Columns(array("I"), Names(), b"", array("I"), array("Q"), frozenset(), 0)
