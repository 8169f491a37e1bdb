"""The reader: cuts a client's stream into lines, and gives uploads out of the same stream, without I/O.

Clients send commands and the data of an ADD in one go, so all is read from one buffer.
"""

from __future__ import annotations

import re

#: Octets of a line that are read. Courier: what exceeds them is thrown away, and the rest executed.
MAX_LINE = 8191
_MAX_DIGITS = 18
_BLOCK = 65536
_END_OF_DOTTED = re.compile(rb"\n\.\r?\n")
_HELD = re.compile(rb"\n(?:\.\r?)?\Z")
_CHUNK = re.compile(rb"[ \t\v\f\r]*([0-9]{0,%d})[ \t\v\f\r]*" % _MAX_DIGITS)


class Reader:
    """One client's stream."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._searched = 0  # octets known to hold no line end

    def feed(self, data: bytes) -> None:
        """Take more of what the client sent."""
        self._input += data

    def line(self) -> bytes | None:
        """Give the next line without its end; None when more has to be fed first."""
        end = self._input.find(b"\n", self._searched)
        if end < 0:
            # In constant memory, however long the line.
            del self._input[MAX_LINE:]
            self._searched = len(self._input)
            return None
        line = bytes(self._input[: min(end, MAX_LINE)])
        del self._input[: end + 1]
        self._searched = 0
        return line

    def some(self, most: int = _BLOCK) -> bytes:
        """Give octets that have come, at most so many; none for lack of input."""
        piece = bytes(self._input[:most])
        del self._input[: len(piece)]
        self._searched = 0
        return piece

    def give_back(self, data: bytes) -> None:
        """Put octets before what is still to be read."""
        self._input[:0] = data
        self._searched = 0

    def unread(self) -> bytes:
        """Give what was fed and not read."""
        return bytes(self._input)


class MalformedUpload(OSError):
    """What stands between two chunks is no size: what follows can't be told from commands.

    An OSError, as what a read of a broken stream raises: sessions hand it to who reads.
    """


class Dotted:
    """An upload in lines, up to one that is a dot; a dot before others is taken away.

    Courier takes away all dots that a line begins with, and ends at a line of nothing but dots.
    """

    def __init__(self) -> None:
        self._held = b"\n"  # a line end, and what may be the last line's beginning
        self._is_first = True  # that line end is ours
        self._is_over = False

    def chunk(self, reader: Reader) -> bytes | None:
        """Give the next piece without CRs; empty at the end, None when more has to be fed first."""
        while not self._is_over:
            piece = reader.some()
            if not piece:
                return None
            block = self._held + piece
            end = _END_OF_DOTTED.search(block)
            if end is not None:
                reader.give_back(block[end.end() :])
                block, self._held = block[: end.start() + 1], b""
                self._is_over = True
            else:
                held = _HELD.search(block)
                at = len(block) if held is None else held.start()
                block, self._held = block[:at], block[at:]
            # A line end that is held comes with the next block, and a dot after it, too.
            stored = block.replace(b"\n.", b"\n").replace(b"\r", b"")
            if self._is_first and stored:
                self._is_first, stored = False, stored[1:]
            if stored:
                return stored
        return b""


class Chunked:
    """An upload in chunks: a size, so many octets, and a line with the next size or none."""

    def __init__(self, size: int | None) -> None:
        """``size`` of the first chunk; None: there is none, and no line behind it."""
        self._left = size or 0
        self._is_over = size is None

    def chunk(self, reader: Reader) -> bytes | None:
        """Do what `Dotted.chunk` does.

        Raises: MalformedUpload.
        """
        while not self._is_over:
            if self._left:
                piece = reader.some(min(self._left, _BLOCK))
                if not piece:
                    return None
                self._left -= len(piece)
                if stored := piece.replace(b"\r", b""):
                    return stored
                continue
            line = reader.line()
            if line is None:
                return None
            size = _CHUNK.fullmatch(line)
            if size is None:
                self._is_over = True
                raise MalformedUpload
            self._left = int(size[1] or 0)
            self._is_over = not self._left
        return b""


Upload = Dotted | Chunked


def upload(word: str) -> tuple[Upload, int]:
    """Read the word that announces an upload; give it, and how many octets it says (0: unknown).

    ``{.estimate}``, ``{size/estimate}``, ``{size}`` or ``{}``.
    """
    if word.startswith("{."):
        return Dotted(), 0
    found = re.match(r"\{([0-9]{1,18})", word)
    size = None if found is None else int(found[1])
    return Chunked(size), size or 0
