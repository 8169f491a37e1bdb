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
#: Literals of one command that are arguments. Each makes the reader hand over the whole so far.
MAX_LITERALS = 1_000
#: Octets of a non-synchronising literal that are read only to be thrown away.
MAX_SKIPPED = 1 << 30

#: Octets kept of a line that is passed over: a literal announced at its end has at most 20 digits.
_TAIL = 32
_DIGITS = 20


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

    def __init__(self, max_command: int = MAX_COMMAND) -> None:
        self._max_command = max_command
        self._input = bytearray()
        self._searched = 0  # octets of `_input` known to hold no line end
        self._command = bytearray()  # what came before the line at hand
        self._accepted = 0  # literals in it
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
            if self._refused > MAX_SKIPPED:
                raise StreamLost
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
                ended = self._skip_line()
                if ended is None:
                    return None
                if not ended:
                    continue
                began, self._skipping = self._skipping, None
                if self._report:
                    return Overlong(began)
                continue
            end = self._input.find(b"\n", self._searched)
            if end < 0 and len(self._command) + len(self._input) <= self._max_command:
                self._searched = len(self._input)
                return None
            if end < 0 or len(self._command) + end >= self._max_command:
                self._skip(bytes(self._command + self._input[:256])[:256], report=True)
                continue
            line = bytes(self._consume(end + 1))
            self._command += line
            literal = _announcement(line)
            if literal is None:
                return Line(self._take_command())
            self._announced = Announced(
                bytes(self._command), _size(literal), not literal[3], bool(literal[1])
            )
            return self._announced

    def accept(self) -> bool:
        """Take the announced literal as an argument; False (and refuse) if it is one too many."""
        announced = self._take_announced()
        room = min(MAX_LITERAL, self._max_command - len(self._command))
        self._accepted += 1
        if announced.size > room or self._accepted > MAX_LITERALS:
            self._announced = announced
            self.refuse(report=True)
            return False
        self._literal = announced.size
        return True

    def stream(self) -> None:
        """Take the announced literal in pieces, by `chunk`; the command begins anew behind it."""
        self._streamed = self._take_announced().size
        self._take_command()

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

        A client that waits sends nothing more of it; what one sends that does not is passed over.
        """
        announced = self._take_announced()
        if announced.waits:
            self._take_command()
            return
        self._skip(announced.text[:256], report=report)
        self._refused = announced.size

    def discard(self) -> bytes:
        """Forget all that was fed and not read, and give it: what comes now is of another kind."""
        self._take_command()
        return bytes(self._consume(len(self._input)))

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
        self._accepted = 0
        return text

    def _consume(self, size: int) -> bytearray:
        taken = self._input[:size]
        del self._input[:size]
        self._searched = 0
        return taken

    def _skip(self, began: bytes, *, report: bool) -> None:
        self._skipping, self._report, self._tail = began, report, b""
        self._take_command()

    def _skip_line(self) -> bool | None:
        """Pass over the rest of a line; None for lack of input, True if the command ended there.

        It goes on behind a literal that the client sends without waiting, which is refused.
        """
        end = self._input.find(b"\n")
        piece = self._consume(len(self._input) if end < 0 else end + 1)
        tail = (self._tail + piece[-_TAIL:])[-_TAIL:]
        self._tail = tail if end < 0 else b""
        if end < 0:
            return None
        if _UNTELLABLE.search(tail):
            raise StreamLost
        literal = grammar.LITERAL_AT_END.search(tail)
        if literal is None or not literal[3]:
            return True
        self._refused = int(literal[2])
        return False


#: The end of an announcement whose beginning, and so its size, is not known any more.
_UNTELLABLE = re.compile(rb"[0-9]{%d}\+\}\r?\n\Z" % (_DIGITS + 1))
#: All that precedes an open quoted string; octets that can't be in one don't matter here.
_UNQUOTED = re.compile(rb'(?>[^"]++|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)


def _announcement(line: bytes) -> re.Match[bytes] | None:
    """Find a literal announced at the end of a line (what is between two literals of a command).

    A client that does not wait has sent the literal whatever precedes it. For one that seems to
    wait, an argument must begin there: else this is a malformed line, and nothing follows it.
    """
    at = line.rfind(b"{")
    if at < 0:
        return None
    literal = grammar.LITERAL_AT_END.search(line, max(0, at - 1))
    if literal is None or literal[3]:
        return literal
    at = literal.start()
    begins = line[max(0, at - 1) : at] in (b" ", b"\t", b"(")
    return literal if begins and _is_unquoted(line, at) else None


def _is_unquoted(line: bytes, at: int) -> bool:
    match = _UNQUOTED.match(line, 0, at)
    return match is not None and match.end() == at


def _size(literal: re.Match[bytes]) -> int:
    """Give a literal's size; what nobody could send for more digits than can be meant."""
    return int(literal[2]) if len(literal[2]) <= _DIGITS else _ENDLESS


_ENDLESS = 1 << 64
_TAG = re.compile(rb"[ \t]*([^\x00-\x20(){%*\"\\\x7f-\xff+]{1,128})(?=[ \t\r\n])")


def tag_of(text: bytes) -> bytes | None:
    """Give the tag that a command begins with; None if it has none that can be echoed."""
    tag = _TAG.match(text)
    return tag[1] if tag is not None else None
