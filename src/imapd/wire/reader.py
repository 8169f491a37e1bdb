"""The reader: cuts a client's stream into commands, without I/O (RFC 3501 2.2.1, RFC 7888).

Bytes are fed in; events come out. A command is handed over whole, its literals in place, so
that a malformed one never swallows the next. Only the message of an APPEND is streamed. What
exceeds a limit is passed over in constant memory, with the literals that belong to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imapd.wire import grammar

#: Octets of one command, its literals included, a streamed one excluded.
MAX_COMMAND = 131_072
#: Octets of one literal that is an argument.
MAX_LITERAL = 65_536
#: Octets of a non-synchronising literal that are read only to be thrown away.
MAX_SKIPPED = 1 << 30

_TAIL = 32  # holds the longest "{n+}" CRLF


@dataclass(frozen=True, slots=True)
class Line:
    """A whole command, or what follows a streamed literal. Ends with its line end."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """A literal was announced at the end of ``text``: accept, stream or refuse it."""

    text: bytes
    size: int
    waits: bool  # the client waits for a continuation request
    binary: bool  # literal8


@dataclass(frozen=True, slots=True)
class Overlong:
    """A command beyond the limits was passed over; ``text`` is how it began."""

    text: bytes


class StreamLost(Exception):
    """What follows can't be told from what is to be skipped: the connection must end."""


class Reader:
    """Reads one client's stream."""

    def __init__(self) -> None:
        self._input = bytearray()
        self._searched = 0  # octets of `_input` known to hold no line end
        self._command = bytearray()  # what came before the line at hand
        self._literal = 0  # octets of an accepted literal still to come
        self._streamed = 0  # octets of a streamed literal still to come
        self._announced: Announced | None = None
        self._refused = 0  # octets of a refused literal still to pass over
        self._skipping: bytes | None = None  # how the command being passed over began
        self._report = False  # tell of the skipped command at its end
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take more of what the client sent."""
        self._input += data

    def next(self) -> Line | Announced | Overlong | None:
        """Give the next event; None when more has to be fed first.

        Raises:
            StreamLost: a refused literal is too large to be passed over.
        """
        assert self._streamed == 0, "a streamed literal is not read to its end"
        while True:
            if self._refused:
                passed = min(self._refused, len(self._input))
                self._consume(passed)
                self._refused -= passed
                if self._refused:
                    return None
            if self._literal:
                if len(self._input) < self._literal:
                    return None
                self._command += self._consume(self._literal)
                self._literal = 0
            if self._skipping is not None:
                if not self._skip_line():
                    return None
                if self._refused:
                    continue
                began, self._skipping = self._skipping, None
                if self._report:
                    return Overlong(began)
                continue
            end = self._input.find(b"\n", self._searched)
            if end < 0 and len(self._command) + len(self._input) <= MAX_COMMAND:
                self._searched = len(self._input)
                return None
            if end < 0 or len(self._command) + end >= MAX_COMMAND:
                self._skip(bytes(self._command + self._input[:256])[:256], report=True)
                continue
            self._command += self._consume(end + 1)
            literal = grammar.LITERAL_AT_END.search(
                self._command, max(0, len(self._command) - _TAIL)
            )
            if literal is None:
                return Line(self._take_command())
            self._announced = Announced(
                bytes(self._command), int(literal[2]), not literal[3], bool(literal[1])
            )
            return self._announced

    def accept(self) -> bool:
        """Take the announced literal as an argument; False (and refuse) if it is too large."""
        announced = self._take_announced()
        room = min(MAX_LITERAL, MAX_COMMAND - len(self._command))
        if announced.size > room:
            self._announced = announced
            self.refuse(report=True)
            return False
        self._literal = announced.size
        return True

    def stream(self) -> None:
        """Take the announced literal in pieces, by `chunk`; the command begins anew behind it."""
        self._streamed = self._take_announced().size
        self._command.clear()

    def chunk(self) -> bytes | None:
        """Give the next piece of the streamed literal: empty at its end, None for lack of input."""
        if not self._streamed:
            return b""
        if not self._input:
            return None
        piece = bytes(self._consume(min(self._streamed, len(self._input))))
        self._streamed -= len(piece)
        return piece

    def refuse(self, *, report: bool = False) -> None:
        """Give up the command whose literal was announced; with ``report``, tell as `Overlong`.

        A client that waits sends nothing more of it; one that does not is passed over.

        Raises:
            StreamLost: see `next`.
        """
        announced = self._take_announced()
        if announced.waits:
            self._command.clear()
            return
        self._skip(announced.text[:256], report=report)
        self._pass_over(announced.size)

    def discard(self) -> None:
        """Forget all that was fed and not read: STARTTLS (RFC 3501 6.2.1)."""
        self._consume(len(self._input))
        self._take_command()

    def unread(self) -> bytes:
        """Give what was fed and not read, for whoever goes on reading."""
        return bytes(self._input)

    def _take_announced(self) -> Announced:
        assert self._announced is not None
        announced, self._announced = self._announced, None
        return announced

    def _take_command(self) -> bytes:
        text = bytes(self._command)
        self._command.clear()
        return text

    def _consume(self, size: int) -> bytearray:
        taken = self._input[:size]
        del self._input[:size]
        self._searched = 0
        return taken

    def _skip(self, began: bytes, *, report: bool) -> None:
        self._skipping, self._report, self._tail = began, report, b""
        self._command.clear()

    def _skip_line(self) -> bool:
        """Pass over the rest of a line; a literal announced at its end is passed over next."""
        end = self._input.find(b"\n")
        piece = self._consume(len(self._input) if end < 0 else end + 1)
        self._tail = (self._tail + piece[-_TAIL:])[-_TAIL:]
        if end < 0:
            return False
        literal = grammar.LITERAL_AT_END.search(self._tail)
        if literal is not None and literal[3]:
            self._pass_over(int(literal[2]))
            self._tail = b""
        return True

    def _pass_over(self, size: int) -> None:
        if size > MAX_SKIPPED:
            raise StreamLost
        self._refused = size


_TAG = re.compile(rb"[ \t]*([^\x00-\x20(){%*\"\\\x7f-\xff+]{1,128})(?=[ \t\r\n])")


def tag_of(text: bytes) -> bytes | None:
    """Give the tag that a command begins with; None if it has none that can be echoed."""
    tag = _TAG.match(text)
    return tag[1] if tag is not None else None
