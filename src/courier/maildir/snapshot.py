"""pycourier-index: what a folder held at one moment, as columns in one file.

    magic, version, octets of the head, octets of the file     (see `_START`)
    numbers: generation, UIDVALIDITY, UIDNEXT, MODSEQs, …      (see `_NUMBERS`)
    stamp: the directory times at which all this was true      (see `pack_stamp`)
    for each of `SECTIONS`: offset, octets, CRC-32
    CRC-32 of all that
    the sections, each aligned to 8 octets, in the machine's byte order

The file is never altered: another one takes its place by rename. So its sections need not be checked at every
opening (`courier.maildir.index`).
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from typing import Literal

from courier.maildir.columns import Column, Columns, Names, octets
from courier.maildir.scan import Stamp

MAGIC = b"pycourier index\n"
VERSION = 1
SECTIONS: tuple[tuple[str, Literal["B", "H", "I", "Q"]], ...] = (
    ("uids", "I"),
    ("flags", "B"),
    ("keywords", "I"),
    ("modseqs", "Q"),
    ("starts", "Q"),
    ("lengths", "H"),
    ("names", "B"),
    ("in_new", "I"),
    ("gone_uids", "I"),
    ("gone_modseqs", "Q"),
    ("words", "B"),
)
_START = struct.Struct("<16sIIQI4x")  # magic, version, octets of head and file, byte order
_NUMBERS = struct.Struct("<QIIQQIIII")
_STAMP = struct.Struct("<12qI4x")
_SECTION = struct.Struct("<QQII")
_CHECKSUM = struct.Struct("<I4x")
HEAD_SIZE = (
    _START.size + _NUMBERS.size + _STAMP.size + len(SECTIONS) * _SECTION.size + _CHECKSUM.size
)
_ORDER = 0x01020304 if sys.byteorder == "little" else 0x04030201


class Unusable(Exception):
    """A file of the index is damaged, or not of this version: rebuild it."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is known of courierimapuiddb; see `courier.maildir.numbering`."""

    uidvalidity: int
    uidnext: int
    ceiling: int  # UIDNEXT as the file states it, if it is a higher one
    lines: int
    dead: int  # lines of messages that are gone


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder at one moment."""

    generation: int
    numbers: Numbers
    columns: Columns
    keyword_sets: list[tuple[str, ...]]
    floor: int  # MODSEQ from which on the vanished messages are known
    gone: tuple[array[int], array[int]]  # their UIDs and MODSEQs
    stamp: Stamp | None


def pack_stamp(stamp: Stamp | None) -> bytes:
    """Write a stamp: three numbers for each of its four parts, and what is known of them."""
    if stamp is None:
        return _STAMP.pack(*[0] * 12, 0)
    known = (
        1
        | stamp.new_settled << 1
        | stamp.cur_settled << 2
        | stamp.keywords_settled << 3
        | (stamp.uiddb is not None) << 4
        | (stamp.keywords is not None) << 5
    )
    nothing = (0, 0, 0)
    parts = (*stamp.new, *stamp.cur, *(stamp.uiddb or nothing), *(stamp.keywords or nothing))
    return _STAMP.pack(*parts, known)


STAMP_SIZE = _STAMP.size


def unpack_stamp(data: bytes) -> Stamp | None:
    """Read what `pack_stamp` wrote."""
    *times, known = _STAMP.unpack(data)
    if not known & 1:
        return None
    new, cur, database, words = ((times[at], times[at + 1], times[at + 2]) for at in (0, 3, 6, 9))
    return Stamp(
        new,
        cur,
        database if known & 16 else None,
        words if known & 32 else None,
        bool(known & 2),
        bool(known & 4),
        bool(known & 8),
    )


def pack_words(sets: list[tuple[str, ...]]) -> bytes:
    """Write keyword sets, one a line."""
    lines = (" ".join(words) for words in sets)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def unpack_words(data: bytes) -> list[tuple[str, ...]]:
    """Read what `pack_words` wrote; the first set is the empty one."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [tuple(filter(None, line.split(" "))) for line in lines]


def pack(snapshot: Snapshot, generation: int) -> list[bytes | memoryview]:
    """Give the file's content, in pieces, as another generation."""
    columns = snapshot.columns
    text, starts, lengths = columns.names.parts()
    values: dict[str, Column] = {
        "uids": columns.uids,
        "flags": columns.flags,
        "keywords": columns.keywords,
        "modseqs": columns.modseqs,
        "starts": starts,
        "lengths": lengths,
        "names": text,
        "in_new": array("I", sorted(columns.in_new)),
        "gone_uids": snapshot.gone[0],
        "gone_modseqs": snapshot.gone[1],
        "words": pack_words(snapshot.keyword_sets),
    }
    pieces: list[bytes | memoryview] = []
    table = b""
    end = HEAD_SIZE
    for name, _ in SECTIONS:
        data = octets(values[name])
        table += _SECTION.pack(end, len(data), zlib.crc32(data), 0)
        padding = -len(data) % 8
        pieces += [data, bytes(padding)]
        end += len(data) + padding
    numbers = snapshot.numbers
    head = _START.pack(MAGIC, VERSION, HEAD_SIZE, end, _ORDER) + _NUMBERS.pack(
        generation,
        numbers.uidvalidity,
        numbers.uidnext,
        columns.highest,
        snapshot.floor,
        numbers.ceiling,
        numbers.lines,
        numbers.dead,
        len(columns),
    )
    head += pack_stamp(snapshot.stamp) + table
    return [head + _CHECKSUM.pack(zlib.crc32(head)), *pieces]


def generation_of(head: bytes) -> int:
    """Give the generation of a file whose first octets are ``head``.

    Raises:
        Unusable: it is no snapshot of ours.
    """
    if len(head) < HEAD_SIZE:
        raise Unusable("too short")
    magic, version, head_size, _, order = _START.unpack_from(head)
    if magic != MAGIC:
        raise Unusable("not an index")
    if version != VERSION or head_size != HEAD_SIZE or order != _ORDER:
        raise Unusable(f"of another kind or version ({version})")
    if _CHECKSUM.unpack_from(head, HEAD_SIZE - _CHECKSUM.size)[0] != zlib.crc32(
        head[: HEAD_SIZE - _CHECKSUM.size]
    ):
        raise Unusable("head damaged")
    generation: int = _NUMBERS.unpack_from(head, _START.size)[0]
    return generation


def unpack(data: memoryview, generation: int, *, check: bool) -> Snapshot:
    """Read a whole file; its columns are views of ``data``.

    Args:
        generation: as `generation_of` gave it.
        check: what is in the sections, which takes a millisecond for each 25,000 messages.

    Raises:
        Unusable: it is damaged.
    """
    if _START.unpack_from(data)[3] != len(data):
        raise Unusable("truncated")
    found = _NUMBERS.unpack_from(data, _START.size)
    _, uidvalidity, uidnext, highest, floor, ceiling, lines, dead, count = found
    at = _START.size + _NUMBERS.size
    stamp = unpack_stamp(bytes(data[at : at + _STAMP.size]))
    views = _sections(data, at + _STAMP.size, check=check)
    columns = Columns(
        views["uids"],
        Names.packed(views["names"], views["starts"], views["lengths"]),
        bytes(views["flags"]),
        views["keywords"],
        views["modseqs"],
        frozenset(views["in_new"]),
        highest,
    )
    lengths = {len(views[name]) for name in ("uids", "flags", "keywords", "modseqs", "starts")}
    if lengths | {len(views["lengths"])} != {count}:
        raise Unusable("columns of different lengths")
    end = views["starts"][-1] + views["lengths"][-1] if count else 0
    if end != len(views["names"]) or (count and not 0 < columns.uids[-1] < uidnext):
        raise Unusable("columns do not end where they should")
    sets = unpack_words(bytes(views["words"]))
    if sets[0] or (check and _highest(columns.keywords) >= len(sets)):
        raise Unusable("keywords missing")
    gone = array("I", views["gone_uids"]), array("Q", views["gone_modseqs"])
    numbers = Numbers(uidvalidity, uidnext, ceiling, lines, dead)
    return Snapshot(generation, numbers, columns, sets, floor, gone, stamp)


def _highest(numbers: Column) -> int:
    """Give the highest of these, at once if there is nothing but zeros."""
    return max(numbers) if bytes(octets(numbers)).strip(b"\0") else 0


def _sections(data: memoryview, at: int, *, check: bool) -> dict[str, memoryview]:
    views = {}
    for number, (name, code) in enumerate(SECTIONS):
        start, size, checksum, _ = _SECTION.unpack_from(data, at + number * _SECTION.size)
        view = data[start : start + size]
        if len(view) != size or size % struct.calcsize(code):
            raise Unusable("truncated")
        if check and zlib.crc32(view) != checksum:
            raise Unusable(f"{name} damaged")
        views[name] = view.cast(code) if code != "B" else view
    return views
