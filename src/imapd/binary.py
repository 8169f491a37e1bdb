"""FETCH BINARY: sections without their transfer encoding (RFC 9051 6.4.5 and 7.5.2, RFC 3516 4).

Of a part that has parts, which RFC 9051 lets no client ask for, and of a whole message every part is decoded.
Line ends are those of the wire where no encoding hides them; what base64 holds is told octet by octet.
"""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from courier.message import decoding
from courier.message.message import Message
from courier.message.mime import Part
from courier.message.parted import PartedMessage
from courier.process.request import Work
from imapd import section
from imapd.request import Step
from imapd.wire.fetch_att import FetchItem

ITEMS = frozenset(("BINARY[]", "BINARY.SIZE"))

#: Octets of a message file that are decoded while others wait.
_AT_ONCE = 262_144
#: Decoded octets that are held until they are sent, for they are not to be decoded twice.
_HELD = 4 << 20


@dataclass(frozen=True, slots=True)
class _Measured:
    size: int
    has_nul: bool
    data: bytes | None  # None: there is too much of it


def is_decodable(message: Message | PartedMessage, item: FetchItem) -> bool:
    part = _part(message, item)
    return part is None or decoding.is_decodable(message, part)


def written(
    message: Message | PartedMessage, item: FetchItem
) -> Generator[Step, Any, Iterator[bytes]]:
    """Write an item whose encodings are known; a large one is decoded as it is sent.

    Raises:
        OSError: the message file has become shorter.
    """
    measure = partial(_measured, message, item)
    part = _part(message, item)
    is_small = part is None or part.end - part.header_start <= _AT_ONCE
    measured: _Measured = measure() if is_small else (yield Work(measure))
    assert item.section is not None
    where = b"[" + section.echo(item.section) + b"]"
    if item.name == "BINARY.SIZE":
        return iter((b"BINARY.SIZE%b %d" % (where, measured.size),))
    origin = b"" if item.partial is None else b"<%d>" % item.partial[0]
    if part is None:
        return iter((b"BINARY%b%b NIL" % (where, origin),))
    # RFC 3516 4.3: a literal8 only where there is a NUL, so that a client need not look for one.
    mark = b"~" if measured.has_nul else b""
    start = b"BINARY%b%b %b{%d}\r\n" % (where, origin, mark, measured.size)
    if measured.data is not None:
        return iter((start + measured.data,))
    return _large(start, measured.size, message, item)


def _large(
    start: bytes, size: int, message: Message | PartedMessage, item: FetchItem
) -> Iterator[bytes]:
    """Decode as much as has been announced. Raises OSError: there is not so much any more."""
    yield start
    for chunk in _wanted(message, item):
        size -= len(chunk)
        yield chunk
    if size:
        raise OSError(errno.EIO, "message file was changed")


def _measured(message: Message | PartedMessage, item: FetchItem) -> _Measured:
    size = 0
    has_nul = False
    held: list[bytes] | None = [] if item.name == "BINARY[]" else None
    for chunk in _wanted(message, item):
        size += len(chunk)
        has_nul = has_nul or b"\0" in chunk
        if held is not None:
            held.append(chunk)
            held = held if size <= _HELD else None
    return _Measured(size, has_nul, None if held is None else b"".join(held))


def _wanted(message: Message | PartedMessage, item: FetchItem) -> Iterator[bytes]:
    """Give what is asked for: a part of the decoded octets, or all."""
    chunks = _decoded(message, item)
    if item.partial is None:
        yield from chunks
        return
    offset, left = item.partial
    for chunk in chunks:
        wanted = chunk[offset : offset + left]
        offset = max(0, offset - len(chunk))
        left -= len(wanted)
        if wanted:
            yield wanted
        if not left:
            return


def _decoded(message: Message | PartedMessage, item: FetchItem) -> Iterator[bytes]:
    assert item.section is not None
    if not item.section.part:
        return decoding.whole(message)
    part = _part(message, item)
    return iter(()) if part is None else decoding.body(message, part)


def _part(message: Message | PartedMessage, item: FetchItem) -> Part | None:
    """Give the part that is meant; None if the message has none of this number."""
    assert item.section is not None
    return section.part(message.root, item.section.part)
