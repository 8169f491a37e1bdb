"""pycourier-log: what changed since the snapshot beside it, one record after the other.

    magic, version, generation of the snapshot, CRC-32          (see `_HEAD`)
    records: octets of the body, CRC-32, MODSEQ, body           (see `_RECORD`)

    body: numbers of courierimapuiddb, counts                   (see `_BODY`)
          stamp                                                 (see `snapshot.pack_stamp`)
          changed messages: UID, keyword set, flags, kind, octets of the name
          UIDs of vanished messages
          names, one after the other
          keyword sets that this record's messages bear, one a line

Records are appended under courier.lock. The CRC covers the record's place and the generation, so
that what is left of an older file is never taken for a record; what can't be read ends the log, and
whoever appends next cuts it off. The file is read, never mapped.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from courier.maildir.columns import Row
from courier.maildir.scan import Stamp
from courier.maildir.snapshot import (
    STAMP_SIZE,
    Numbers,
    Unusable,
    pack_stamp,
    pack_words,
    unpack_stamp,
    unpack_words,
)

MAGIC = b"pycourier log\n\0\0"
VERSION = 1
_HEAD = struct.Struct("<16sI4xQI4x")
HEAD_SIZE = _HEAD.size
_RECORD = struct.Struct("<IIQ")
_BODY = struct.Struct("<IIIIIIIII")
_ROW = struct.Struct("<IIBBH")
_GONE = struct.Struct("<I")
_IN_NEW, _SILENT, _LANDED = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Change:
    """One record: what one operation or one reading of the folder changed."""

    modseq: int
    numbers: Numbers
    stamp: Stamp | None  # all is accounted for at these times
    rows: tuple[Row, ...] = ()  # their keyword numbers count in `sets`
    sets: tuple[tuple[str, ...], ...] = ((),)
    gone: tuple[int, ...] = ()
    silent: frozenset[int] = frozenset()  # UIDs of which only the file's name changed
    landed: frozenset[int] = frozenset()  # UIDs that came by link(2) into cur/


def head(generation: int) -> bytes:
    """Give the beginning of a log that belongs to snapshot ``generation``."""
    start = _HEAD.pack(MAGIC, VERSION, generation, 0)
    return _HEAD.pack(MAGIC, VERSION, generation, zlib.crc32(start))


def pack(change: Change, generation: int, place: int) -> bytes:
    """Write a record that will stand at offset ``place``."""
    numbers = change.numbers
    names = b"".join(row.name for row in change.rows)
    words = pack_words(list(change.sets))
    body = b"".join(
        (
            _BODY.pack(
                numbers.uidvalidity,
                numbers.uidnext,
                numbers.ceiling,
                numbers.lines,
                numbers.dead,
                len(change.rows),
                len(change.gone),
                len(names),
                len(words),
            ),
            pack_stamp(change.stamp),
            *[
                _ROW.pack(row.uid, row.keywords, row.flags, _kind(change, row), len(row.name))
                for row in change.rows
            ],
            struct.pack(f"<{len(change.gone)}I", *change.gone),
            names,
            words,
        )
    )
    checksum = zlib.crc32(body, _seed(generation, place, change.modseq))
    return _RECORD.pack(len(body), checksum, change.modseq) + body


def _kind(change: Change, row: Row) -> int:
    return (
        row.in_new * _IN_NEW
        | (row.uid in change.silent) * _SILENT
        | (row.uid in change.landed) * _LANDED
    )


def _seed(generation: int, place: int, modseq: int) -> int:
    return zlib.crc32(struct.pack("<QQQ", generation, place, modseq))


def check_head(data: bytes, generation: int) -> bool:
    """Tell whether a log begins like this, and belongs to snapshot ``generation``."""
    return data[:HEAD_SIZE] == head(generation)


def records(data: bytes, generation: int, place: int) -> Iterator[tuple[Change, int]]:
    """Read the records in ``data``, which stands at offset ``place``.

    Yields: each with the offset of its end, up to the first that is not whole.
    """
    at = 0
    while at + _RECORD.size <= len(data):
        size, checksum, modseq = _RECORD.unpack_from(data, at)
        body = data[at + _RECORD.size : at + _RECORD.size + size]
        seed = _seed(generation, place + at, modseq)
        if size < _BODY.size + STAMP_SIZE or len(body) < size or zlib.crc32(body, seed) != checksum:
            return
        at += _RECORD.size + size
        yield _change(body, modseq), place + at


def _change(body: bytes, modseq: int) -> Change:
    uidvalidity, uidnext, ceiling, lines, dead, rows, gone, names, words = _BODY.unpack_from(body)
    at = _BODY.size
    stamp = unpack_stamp(body[at : at + STAMP_SIZE])
    at += STAMP_SIZE
    text_at = at + rows * _ROW.size + gone * _GONE.size
    if text_at + names + words != len(body):
        raise Unusable("record damaged")
    table = memoryview(body)[at : at + rows * _ROW.size]
    vanished = struct.unpack_from(f"<{gone}I", body, at + rows * _ROW.size)
    found, silent, landed = [], set(), set()
    for uid, number, flags, kind, length in _ROW.iter_unpack(table):
        name = body[text_at : text_at + length]
        text_at += length
        found.append(Row(uid, name, bool(kind & _IN_NEW), flags, number))
        if kind & _SILENT:
            silent.add(uid)
        if kind & _LANDED:
            landed.add(uid)
    return Change(
        modseq,
        Numbers(uidvalidity, uidnext, ceiling, lines, dead),
        stamp,
        tuple(found),
        tuple(unpack_words(body[len(body) - words :])),
        vanished,
        frozenset(silent),
        frozenset(landed),
    )
