"""A message with binary content (RFC 3516 4.4) as a maildir can hold it: in lines, without loss."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterator

from courier.message import lines
from courier.message.decoding import leaves, with_encoding
from courier.message.mime import IDENTITY, Part, parse

#: Octets that are made at once; encoded they give whole lines.
_BLOCK = 57 * 1024
_LINES = re.compile(rb".{76}(?=.)")


def storable(data: bytes) -> Iterator[bytes]:
    """Give a message, bit by bit, as a file has it, with the bodies that would suffer from that in base64.

    These are all that are declared as binary, which no FETCH BODY may show (RFC 3516 6), and others
    with a NUL, a CR that ends no line or, unless they are text, a LF alone.
    """
    at = 0
    for leaf in leaves(parse(data)):
        if leaf.encoding not in IDENTITY or not _suffers(data, leaf):
            continue
        header = data[leaf.header_start : leaf.body_start]
        yield from _stored(data, at, leaf.header_start)
        yield lines.stored(with_encoding(header, b"base64"))
        yield from _base64(data, leaf.body_start, leaf.end)
        at = leaf.end
    if at == len(data):
        yield b"\n"  # the end of the last line in base64
    yield from _stored(data, at, len(data))


def _stored(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """Give a range as a file has it, some whole lines at a time."""
    while start < end:
        stop = data.find(b"\n", start + _BLOCK, end) + 1 or end
        yield lines.stored(data[start:stop])
        start = stop


def _suffers(data: bytes, leaf: Part) -> bool:
    if leaf.encoding == b"binary":
        return True
    where = (leaf.body_start, leaf.end)
    ends = data.count(b"\r\n", *where)
    return (
        data.find(b"\0", *where) >= 0
        or data.count(b"\r", *where) != ends
        or (leaf.type != b"text" and data.count(b"\n", *where) != ends)
    )


def _base64(data: bytes, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _BLOCK):
        separator = b"\n" if at > start else b""
        text = b2a_base64(data[at : min(at + _BLOCK, end)], newline=False)
        yield separator + _LINES.sub(rb"\g<0>\n", text)
