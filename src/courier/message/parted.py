"""A large message whose structure is known: of its file only what is asked for is read.

The structure is kept as one row for each entity, in the order of the message: what is in it (the number of
parts of a multipart, or `_MESSAGE`), and where its header, its body and itself begin and end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from courier.message import lines
from courier.message.mime import Part

#: Octets from which on a message's structure is worth keeping.
LARGE = 128 << 10
#: Entities above which it is too long to keep.
MAX_ENTITIES = 1000
#: Sizes that the rows can say.
_MAX_SIZE = 1 << 32

_ROW = struct.Struct("<IIII")
_MESSAGE = 1 << 31
_BLOCK = 65536


def structure(root: Part) -> bytes:
    """Write the structure of a message; nothing if it can't or need not be kept."""
    if not LARGE <= root.end < _MAX_SIZE:
        return b""
    rows = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        inside = _MESSAGE if part.message is not None else len(part.children)
        rows.append(_ROW.pack(inside, part.header_start, part.body_start, part.end))
        if len(rows) > MAX_ENTITIES:
            return b""
        if part.message is not None:
            waiting.append(part.message)
        waiting.extend(reversed(part.children))
    return b"".join(rows)


class PartedMessage:
    """What `Message` is for sections of it, over a file that is read bit by bit."""

    __slots__ = ("_read", "root", "size_on_disk")

    def __init__(self, structure: bytes, read: Callable[[int, int], bytes]) -> None:
        """``read`` gives octets of the file, by offset and count."""
        self._read = read
        self.root = _tree(structure)
        self.size_on_disk = self.root.end

    @property
    def body_start(self) -> int:
        return self.root.body_start

    def octets(self, start: int, end: int) -> bytes:
        """Give a range of the file. Raises OSError: it has become shorter."""
        data = self._read(start, end - start) if end > start else b""
        if len(data) != max(0, end - start):
            raise OSError(5, "message file has become shorter")
        return data

    def wire(self, start: int, end: int) -> bytes:
        """Give a range in wire form."""
        return lines.wire(self.octets(start, end))

    def wire_slice(self, start: int, end: int, offset: int, count: int) -> bytes:
        """Give ``wire(start, end)[offset : offset + count]``, a block of the file in memory at a time."""
        chunks: list[bytes] = []
        while start < end and count > 0:
            stop = min(start + _BLOCK, end)
            block = self.octets(start, stop)
            if stop < end and block.endswith(b"\r"):  # not to part it from its LF
                block = block[:-1] or self.octets(start, stop := min(stop + 1, end))
            size = lines.wire_size(block)
            if offset < size:
                chunk = lines.wire(block)[offset : offset + count]
                chunks.append(chunk)
                count -= len(chunk)
                offset = 0
            else:
                offset -= size
            start += len(block)
        return b"".join(chunks)


def _tree(rows: bytes) -> Part:
    """Build the tree that `structure` wrote, as far as places go."""
    root: Part | None = None
    open_parts: list[tuple[Part, int]] = []  # with how many entities are still to come in each
    for inside, header_start, body_start, end in _ROW.iter_unpack(rows):
        part = Part()
        part.header_start, part.body_start, part.end = header_start, body_start, end
        part.children, part.message = [], None
        if root is None:
            root = part
        else:
            parent, left = open_parts.pop()
            if left & _MESSAGE:
                parent.message = part
            else:
                parent.children.append(part)
                if left > 1:
                    open_parts.append((parent, left - 1))
        if inside:
            open_parts.append((part, inside))
    assert root is not None
    return root
