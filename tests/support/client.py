"""A small IMAP client that shares no code with the server or with imaplib.

It reads and writes a pair of file descriptors (a subprocess's pipes, or one socket twice), sends what it is
told without looking, and cuts what comes back into responses. Every wait has an end: `Silence` is raised when
nothing arrives for `patience_s` seconds, and says what had arrived by then.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

PATIENCE_S = 30.0

_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")
_TOKEN = re.compile(
    rb'(?P<space> +)|(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    rb"|~?\{(?P<literal>\d+)\}\r\n|(?P<atom>(?:[^ ()\[\]\"{]|\[[^\]]*\])+)"
)

Value = bytes | int | None | list["Value"]


class Silence(Exception):
    """The server sent nothing more within the client's patience."""


class Closed(Exception):
    """The server closed the connection."""


class Refused(Exception):
    """A command was completed with NO or BAD."""


class Connection:
    """Bytes in both directions, with bounded waits; it never deadlocks on full pipes."""

    def __init__(self, read_fd: int, write_fd: int, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._received = bytearray()
        self._at = 0
        self._ended = False
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def send(self, data: bytes) -> None:
        """Write all of ``data``, reading meanwhile what the server has to say."""
        unsent = memoryview(data)
        while unsent:
            readers = [] if self._ended else [self._read_fd]
            readable, writable, _ = select.select(readers, [self._write_fd], [], self.patience_s)
            if readable:
                self._receive()
            if writable:
                unsent = unsent[os.write(self._write_fd, unsent[:65536]) :]
            if not readable and not writable:
                raise Silence(f"{len(unsent)} octets could not be sent")

    def line(self) -> bytes:
        """Return the next line with its CRLF (or bare LF)."""
        searched = self._at
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            self._wait()
        return self._take(end + 1 - self._at)

    def exactly(self, size: int) -> bytes:
        while len(self._received) - self._at < size:
            self._wait()
        return self._take(size)

    def rest(self) -> bytes:
        """Return everything up to the end of the stream."""
        try:
            while True:
                self._wait()
        except Closed:
            return self._take(len(self._received) - self._at)

    def has_input(self, timeout_s: float = 0.0) -> bool:
        """Tell whether the server sends anything within ``timeout_s``."""
        if self._at < len(self._received):
            return True
        return bool(select.select([self._read_fd], [], [], timeout_s)[0])

    def _take(self, size: int) -> bytes:
        data = bytes(self._received[self._at : self._at + size])
        self._at += size
        if self._at > 1 << 20:
            del self._received[: self._at]
            self._at = 0
        return data

    def _wait(self) -> None:
        if self._ended:
            raise Closed(self._pending())
        if not select.select([self._read_fd], [], [], self.patience_s)[0]:
            raise Silence(self._pending())
        self._receive()
        if self._ended:
            raise Closed(self._pending())

    def _receive(self) -> None:
        try:
            data = os.read(self._read_fd, 1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._received += data
        self._ended = not data

    def _pending(self) -> str:
        return f"unread so far: {bytes(self._received[self._at :][:2000])!r}"


@dataclass(frozen=True)
class Response:
    """One untagged response, continuation request or tagged completion, literals included."""

    raw: bytes

    @property
    def text(self) -> str:
        """The response without its CRLF, as Latin-1 where it is not UTF-8."""
        try:
            return self.raw.removesuffix(b"\r\n").decode()
        except UnicodeDecodeError:
            return self.raw.removesuffix(b"\r\n").decode("latin-1")

    @property
    def values(self) -> list[Value]:
        """The tokens after the first: numbers, octets, NIL as None, parentheses as lists."""
        return parse(self.raw)[1:]


@dataclass(frozen=True)
class Reply:
    """What one command brought: its tagged completion and the responses before it."""

    tag: bytes
    completion: Response
    responses: list[Response] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.completion.text.split(" ", 2)[1]

    @property
    def text(self) -> str:
        """The tagged line without its tag: ``OK FETCH completed.``"""
        return self.completion.text.split(" ", 1)[1]

    @property
    def lines(self) -> list[str]:
        return [response.text for response in self.responses]

    def named(self, name: str) -> list[list[Value]]:
        """The values of each untagged ``name`` response, without the name."""
        wanted = name.encode()
        found = []
        for response in self.responses:
            values = response.values
            if values[:1] == [wanted]:
                found.append(values[1:])
        return found

    def numbered(self, name: str) -> list[tuple[int, list[Value]]]:
        """Each untagged ``number name …`` response as its number and the values after its name."""
        wanted = name.encode()
        found: list[tuple[int, list[Value]]] = []
        for response in self.responses:
            values = response.values
            if len(values) > 1 and isinstance(values[0], int) and values[1] == wanted:
                found.append((values[0], values[2:]))
        return found

    def code(self, name: str) -> str | None:
        """The arguments of response code ``name`` in the completion or an untagged response."""
        pattern = re.compile(rf"\S+ \S+ \[{re.escape(name)}(?: ([^\]]*))?\]")
        for line in [*self.lines, self.completion.text]:
            if match := pattern.match(line):
                return match[1] or ""
        return None


class Client:
    """Sends commands and collects replies, one at a time or pipelined."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._sent = 0

    def response(self) -> Response:
        """Read one response with its literals."""
        raw = bytearray(self.connection.line())
        while match := _LITERAL.search(raw):
            raw += self.connection.exactly(int(match[1]))
            raw += self.connection.line()
        return Response(bytes(raw))

    def send(self, command: str | bytes, *literals: bytes) -> bytes:
        """Send a command without awaiting its completion; return its tag.

        Each ``{}`` in the command stands for the next of ``literals``, for which the server is awaited.
        """
        self._sent += 1
        tag = b"t%d" % self._sent
        text = command.encode() if isinstance(command, str) else command
        pieces = text.split(b"{}") if literals else [text]
        assert len(pieces) == len(literals) + 1
        self.connection.send(tag + b" " + pieces[0])
        for literal, piece in zip(literals, pieces[1:], strict=True):
            self.connection.send(b"{%d}\r\n" % len(literal))
            request = self.response()
            if not request.raw.startswith(b"+"):
                raise Refused(request.text)
            self.connection.send(literal + piece)
        self.connection.send(b"\r\n")
        return tag

    def reply(self, tag: bytes) -> Reply:
        """Read up to the completion of ``tag``."""
        responses = []
        while True:
            response = self.response()
            if response.raw.startswith(tag + b" "):
                return Reply(tag, response, responses)
            responses.append(response)

    def try_command(self, command: str | bytes, *literals: bytes) -> Reply:
        """Run a command whatever its outcome."""
        return self.reply(self.send(command, *literals))

    def command(self, command: str | bytes, *literals: bytes) -> Reply:
        """Run a command that has to succeed.

        Raises:
            Refused: it was completed with NO or BAD.
        """
        reply = self.try_command(command, *literals)
        if reply.status != "OK":
            raise Refused(f"{command!r}: {reply.text}")
        return reply

    def pipeline(self, commands: Iterable[str]) -> list[Reply]:
        """Send all commands in one go, then read their replies in order."""
        tags = []
        sent = bytearray()
        for command in commands:
            self._sent += 1
            tags.append(b"t%d" % self._sent)
            sent += tags[-1] + b" " + command.encode() + b"\r\n"
        self.connection.send(bytes(sent))
        return [self.reply(tag) for tag in tags]

    def fetch(
        self, sequence_set: str, items: str, uid: bool = False
    ) -> dict[int, dict[str, Value]]:
        """FETCH or UID FETCH: the items of each message by its sequence number."""
        reply = self.command(f"{'UID ' if uid else ''}FETCH {sequence_set} {items}")
        fetched: dict[int, dict[str, Value]] = {}
        for seq, values in reply.numbered("FETCH"):
            fetched.setdefault(seq, {}).update(pairs(values[0]))
        return fetched

    def append(self, mailbox: str, message: bytes, arguments: str = "") -> Reply:
        """APPEND with CRLF line ends; ``arguments`` are flags and date."""
        return self.command(f"APPEND {mailbox} {arguments}{' ' if arguments else ''}{{}}", message)

    def search(self, criteria: str, uid: bool = False) -> list[int]:
        reply = self.command(f"{'UID ' if uid else ''}SEARCH {criteria}")
        return [n for values in reply.named("SEARCH") for n in values if isinstance(n, int)]

    def start_idle(self) -> tuple[bytes, str]:
        """Enter IDLE: return the tag to end it with and the text of the continuation request."""
        tag = self.send("IDLE")
        response = self.response()
        while not response.raw.startswith(b"+"):
            response = self.response()
        return tag, response.text

    def await_response(self, pattern: str) -> Response:
        """Read until a response matches ``pattern`` from its beginning."""
        while True:
            response = self.response()
            if re.match(pattern, response.text):
                return response

    def end_idle(self, tag: bytes) -> Reply:
        self.connection.send(b"DONE\r\n")
        return self.reply(tag)


def pairs(values: Value) -> dict[str, Value]:
    """Turn the flat list of a FETCH response into a mapping."""
    assert isinstance(values, list) and len(values) % 2 == 0, values
    names = values[0::2]
    return {n.decode(): v for n, v in zip(names, values[1::2], strict=True) if isinstance(n, bytes)}


def parse(raw: bytes) -> list[Value]:
    """Parse a response line with its literals into nested lists."""
    return list(_values(_tokens(raw.removesuffix(b"\r\n"))))


def _tokens(raw: bytes) -> Iterator[Value | str]:
    at = 0
    while at < len(raw):
        match = _TOKEN.match(raw, at)
        if match is None:
            yield raw[at : at + 1]
            at += 1
            continue
        at = match.end()
        if match["open"] or match["close"]:
            yield match[0].decode()
        elif match["literal"] is not None:
            size = int(match["literal"])
            yield raw[at : at + size]
            at += size
        elif match["quoted"] is not None:
            yield re.sub(rb"\\(.)", rb"\1", match["quoted"])
        elif match["atom"] is not None:
            atom = match["atom"]
            yield None if atom.upper() == b"NIL" else int(atom) if atom.isdigit() else atom


def _values(tokens: Iterator[Value | str]) -> Iterator[Value]:
    for token in tokens:
        if token == "(":
            yield list(_values(tokens))
        elif token == ")":
            return
        else:
            assert not isinstance(token, str)
            yield token


def deadline(seconds: float = PATIENCE_S) -> Iterator[None]:
    """Yield until ``seconds`` have passed, a little apart: for states that can only be polled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
