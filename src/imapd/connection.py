"""The client's end of a session: commands and literals in, octets out (RFC 9051 2.2, RFC 4978, RFC 7888)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from courier.process.request import Receive, Request, Steps, Wake, Watch
from imapd import compression
from imapd.completion import Bad, CommandFailed, Farewell, Violation
from imapd.compression import Compression
from imapd.request import Idle
from imapd.transcript import Transcript
from imapd.wire import parser, reader
from imapd.wire.parser import Parser
from imapd.wire.reader import Announced, Line, Overlong, Reader

if TYPE_CHECKING:
    from imapd.commands.table import Command

#: Seconds without a command, and without the next octet of a literal.
INACTIVITY_S = 1800.0
LITERAL_S = 60.0

TOO_LONG = Bad("IMAP command too long.")


class LiteralTooLong(CommandFailed):
    """A literal is larger than an argument may be, or than the room that is left for the command."""

    def __init__(self) -> None:
        super().__init__(TOO_LONG)


#: Octets of a literal that a client may send without waiting where LITERAL- is announced.
_MAX_UNASKED = 4096
_DAMAGED = "[ALERT] Compressed data is damaged."
_UNASKED = Bad("Literal too large to be sent without waiting.", "TOOBIG")

Event = Line | Announced | Overlong


class EndOfInput(Exception):
    """The client closed its end."""


@dataclass(slots=True)
class Counts:
    """Octets, for the log."""

    received: int = 0
    sent: int = 0
    headers: int = 0
    body: int = 0


class Feedable(Protocol):
    """What cuts octets into what a protocol is made of."""

    def feed(self, data: bytes) -> None:
        """Take more of what the client sent."""


class Stream:
    """Octets from a client and to it, counted as they are when they are not compressed."""

    reader: Feedable

    def __init__(self) -> None:
        self.counts = Counts()
        self._compression: Compression | None = None
        self.transcript: Transcript | None = None

    def send(self, data: bytes) -> Steps:
        """Send octets; none give other sessions their turn."""
        self.counts.sent += len(data)
        if self.transcript is not None:
            self.transcript.wrote(data)
        if self._compression is None:
            yield data
        else:
            yield from self._compression.deflate(data)

    def flush(self, *, forget: bool = False) -> Steps:
        """Let the client see all that was sent; ``forget`` as in `Compression.flush`."""
        if self._compression is not None:
            yield self._compression.flush(forget=forget)

    def send_last(self, data: bytes) -> Steps:
        """Send octets behind which nothing is deflated any more, in one piece."""
        self.counts.sent += len(data)
        if self.transcript is not None:
            self.transcript.wrote(data)
        yield data if self._compression is None else self._compression.finish(data)

    def receive(self, timeout_s: float) -> Steps:
        """Feed the reader.

        Raises:
            EndOfInput, Farewell: nothing came.
        """
        if (yield from self.await_input(Receive(timeout_s))) is Wake.TIMEOUT:
            raise Farewell("Disconnected for inactivity.", is_timeout=True)

    def await_input(self, receive: Receive) -> Generator[Request, Any, Wake | None]:
        """Feed the reader, or give why there is no input.

        Raises:
            EndOfInput, Farewell: there will never be.
        """
        if self._compression is not None and self._compression.is_waiting:
            yield b""  # however little came in, others get their turn
            self._inflate()
            return None
        yield from self.flush(forget=receive.watch is not None)
        data = yield receive
        if isinstance(data, Wake):
            return data
        if not data:
            raise EndOfInput
        if self._compression is not None:
            self._inflate(data)
        else:
            self._feed(data)
        return None

    def _inflate(self, data: bytes = b"") -> None:
        assert self._compression is not None
        if self._compression.at_end:
            raise EndOfInput
        try:
            self._feed(self._compression.inflate(data))
        except compression.Damaged:
            raise Farewell(_DAMAGED) from None

    def _feed(self, data: bytes) -> None:
        self.counts.received += len(data)
        self.reader.feed(data)


class Connection(Stream):
    """What a session reads from its client, and what it sends there."""

    def __init__(self, *, limits_literals: bool, may_return: bool = False) -> None:
        """Take what the client can do.

        Args:
            limits_literals: LITERAL- is announced.
            may_return: it can leave the session, where compression ends in the middle of its octets.
        """
        super().__init__()
        self.reader: Reader = Reader()
        self.announced: Announced | None = None  # the literal that the command at hand stops at
        self._rest_is_due = False  # a literal is streamed: what follows it is not read yet
        self._limits_literals = limits_literals
        self._compression_is_due = False
        self._may_return = may_return

    @property
    def is_compressed(self) -> bool:
        return self._compression is not None

    def compress(self) -> None:
        """Deflate all that is sent and received after the command at hand (RFC 4978 3)."""
        self._compression_is_due = True

    def _begin_compression(self) -> None:
        self._compression_is_due = False
        self._compression = Compression(may_end=self._may_return)
        self._inflate(self.reader.discard())

    def behind_last(self) -> Generator[Request, Any, bytes]:
        """Give what the client has sent behind a command with which it ends its compression, too.

        Raises:
            EndOfInput, Farewell: it does not end it (RFC 8437 4.1).
        """
        left = self.reader.discard()
        self.counts.received = max(0, self.counts.received - len(left))
        if self._compression is None:
            return left
        try:
            ending = self._compression.end(len(left))
            while (plain := ending.plain) is None:
                data = yield Receive(LITERAL_S)
                if isinstance(data, Wake):
                    raise Farewell("Disconnected for inactivity.", is_timeout=True)
                if not data:
                    raise EndOfInput
                ending.feed(data)
        except compression.Damaged:
            raise Farewell(_DAMAGED) from None
        return plain

    def command(
        self, timeout_s: float = INACTIVITY_S, watch: Watch | None = None
    ) -> Generator[Request, Any, Event | Wake]:
        """Read a command's beginning, up to its first literal; or give what else ends the wait.

        Raises:
            EndOfInput, Farewell: there is no more of them.
        """
        if self._compression_is_due:
            self._begin_compression()
        event = self._next()
        while event is None:
            woken = yield from self.await_input(Receive(timeout_s, watch))
            if woken is not None:
                return woken
            event = self._next()
        self.announced = event if isinstance(event, Announced) else None
        return event

    def complete(self, arguments: Parser, command: Command) -> Generator[Request, Any, Parser]:
        """Read the literals that are arguments, up to one that the handler will stream.

        Raises:
            CommandFailed: the command is too long.
        """
        while self.announced is not None and not command.streams(arguments.copy()):
            _, _, arguments = parser.command((yield from self.argument()))
        return arguments

    def argument(self) -> Generator[Request, Any, bytes]:
        """Take the announced literal as an argument; give what is read since the last `chunk`.

        Raises: as `complete`.
        """
        announced = self._take_announced()
        if self.reader.accept():
            if announced.waits:
                yield from self.send(b"+ OK\r\n")
        elif announced.waits:
            raise LiteralTooLong
        event = yield from self._event(LITERAL_S)
        if isinstance(event, Overlong):
            raise LiteralTooLong
        if isinstance(event, Announced):
            self.announced = event
        return event.text

    def _take_announced(self) -> Announced:
        """Give the announced literal, which is announced no more.

        Raises:
            CommandFailed: it ought to have waited (RFC 7888 5).
        """
        assert self.announced is not None
        is_large = self.announced.size > _MAX_UNASKED and not self.announced.waits
        if is_large and self._limits_literals:
            raise CommandFailed(_UNASKED)
        announced, self.announced = self.announced, None
        return announced

    def chunk(self) -> Generator[Request, Any, bytes]:
        """Give the next piece of the announced literal; the first call asks the client for it."""
        if self.announced is not None:
            if self._take_announced().waits:
                yield from self.send(b"+ OK\r\n")
            self.reader.stream()
            self._rest_is_due = True
        while True:
            chunk = self.reader.chunk()
            if chunk is not None:
                return chunk
            yield from self.receive(LITERAL_S)

    def rest(self) -> Generator[Request, Any, bytes]:
        """Read what follows the streamed literal, up to the end or the next literal.

        Raises:
            Violation: more than anything that may follow.
        """
        event = yield from self._rest()
        if isinstance(event, Overlong):
            raise Violation
        return event.text

    def _rest(self) -> Generator[Request, Any, Event]:
        event = yield from self._event(LITERAL_S)
        self._rest_is_due = False
        self.announced = event if isinstance(event, Announced) else None
        return event

    def finish_literal(self) -> Steps:
        """Pass over what a handler left of a literal, and of the command behind it."""
        if self.announced is not None:
            self.announced = None
            self.reader.refuse()
        if self._rest_is_due:
            while (yield from self.chunk()):
                pass
            if isinstance((yield from self._rest()), Announced):
                self.announced = None
                self.reader.refuse()

    def idle(self, idle: Idle) -> Generator[Request, Any, bytes | Wake]:
        """Wait for a line, or for what else ends the wait; nothing stands for a part of a line."""
        event = self._next()
        if event is None:
            woken = yield from self.await_input(Receive(idle.timeout_s, idle.watch))
            if woken is not None:
                return woken
            event = self._next()
        if event is None:
            return b""
        if isinstance(event, Announced):
            self.reader.refuse()
        return event.text

    def look(self, watch: Watch) -> Steps:
        """Have a watch note what has changed by now."""
        try:
            yield from self.await_input(Receive(0.0, watch))
        except EndOfInput:
            pass  # the next to await input will see it, too

    def _event(self, timeout_s: float) -> Generator[Request, Any, Event]:
        while True:
            event = self._next()
            if event is not None:
                return event
            yield from self.receive(timeout_s)

    def _next(self) -> Event | None:
        try:
            event = self.reader.next()
        except reader.StreamLost:
            raise Farewell("[ALERT] Literal too large.") from None
        if self.transcript is not None and event is not None:
            self.transcript.read(event)
        return event
