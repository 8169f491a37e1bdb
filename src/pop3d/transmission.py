"""A message on its way to a client: lines end in CRLF, dots are stuffed (RFC 1939 3).

Files have LF; a CR before it, as other programs write it, is part of the line's end. What is sent of a
message does not depend on the pieces in which it is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

END = b".\r\n"
_LONG_LINE = 1 << 20


def sent_size(data: bytes) -> int:
    """Count the octets that RETR sends of a message, without stuffing and the line with the dot."""
    size = len(data) + data.count(b"\n")
    if b"\r" in data:  # hardly any has one, and a single octet is looked for ten times as fast
        size -= data.count(b"\r\n")
    if data.endswith(b"\n"):
        return size
    return size + (1 if data.endswith(b"\r") else 2)


def stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a message as it is sent, up to and including the line with the dot."""
    last = b""  # the octet before
    held = b""  # a CR that an LF may follow
    for piece in pieces:
        data, held = held + piece, b""
        if data.endswith(b"\r"):
            data, held = data[:-1], b"\r"
        if not data:
            continue
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        first = b"." if last in (b"", b"\n") and data.startswith(b".") else b""
        last = data[-1:]
        yield first + data.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
    # Also of an empty message; a CR at the very end is the beginning of it.
    yield END if last == b"\n" and not held else b"\r\n" + END


def top(pieces: Iterable[bytes], lines: int | None) -> Iterator[bytes]:
    """Cut a message behind its header, the empty line and ``lines`` lines of its body.

    Args:
        lines: None for all of them.
    """
    if lines is None:
        yield from pieces
        return
    left = -1  # in the header
    for piece in _whole_lines(pieces):
        at = 0
        while left and at < len(piece):
            end = piece.find(b"\n", at) + 1 or len(piece)
            if left > 0:
                left -= 1
            elif piece[at:end] in (b"\n", b"\r\n"):
                left = lines
            at = end
        yield piece[:at]
        if left == 0:
            return


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same octets in pieces that end with a line, but for lines that are very long."""
    rest = b""
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest += piece
        if len(rest) > _LONG_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
