"""Rows of `pycourier-items`: the numbers of a message, and where its texts lie (doc/items.md)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple
from zlib import crc32

from courier.maildir.itemfile import CACHE_START, ROW, WORDS, Content, Kind
from courier.message.facts import PIECES, Facts, Flag

#: Rows that are written in one go.
_ROWS_AT_ONCE = 10_000


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
CHECK, OFFSET, FIRST_END = 1, 2, 16
NAME = _ENDS
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
END = {name: FIRST_END + place for place, name in enumerate(PIECES)}
BEGIN = {name: FIRST_END + place - 1 for place, name in enumerate(PIECES)}
LENGTH = END[PIECES[-1]]


def pack(stored: Stored, offset: int) -> tuple[bytes, bytes]:
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


def rows(content: Content, order: Sequence[int]) -> Iterator[bytes]:
    """Give rows, many at a time."""
    for start in range(0, len(order), _ROWS_AT_ONCE):
        some = order[start : start + _ROWS_AT_ONCE]
        yield b"".join([content.rows[row * ROW : (row + 1) * ROW] for row in some])


def texts(content: Content, order: Sequence[int]) -> Iterator[memoryview]:
    """Give the texts of rows."""
    offsets, lengths = content.column(OFFSET, "Q"), content.column(LENGTH)
    for row in order:
        yield content.cache[offsets[row] : offsets[row] + lengths[row]]


def moved_rows(content: Content, order: Sequence[int]) -> Iterator[bytes]:
    """Give rows as they are when their texts lie in this order."""
    at = CACHE_START
    for row in order:
        numbers = list(_ROW.unpack_from(content.rows, row * ROW))
        numbers[_ROW_OFFSET] = at
        at += numbers[_ROW_LENGTH]
        yield _ROW.pack(*numbers)
