"""The client's end of a session: commands and literals in, octets out (RFC 9051 2.2, RFC 7888)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from courier.process.request import Receive, Request, Steps, Wake
from imapd.completion import Bad, CommandFailed, Farewell
from imapd.request import Idle
from imapd.wire import parser, reader
from imapd.wire.parser import Parser
from imapd.wire.reader import Announced, Line, Overlong, Reader

if TYPE_CHECKING:
    from imapd.commands.table import Command

#: Seconds without a command, and without the next octet of a literal.
INACTIVITY_S = 1800.0
LITERAL_S = 60.0

TOO_LONG = Bad("IMAP command too long.")

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


class Connection:
    """What a session reads from its client, and what it sends there."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.reader = Reader()
        self.announced: Announced | None = None  # the literal that the command at hand stops at
        self._rest_is_due = False  # a literal is streamed: what follows it is not read yet

    def send(self, data: bytes) -> Steps:
        """Send octets; none give other sessions their turn."""
        self.counts.sent += len(data)
        yield data

    def command(self) -> Generator[Request, Any, Event]:
        """Read a command's beginning, up to its first literal.

        Raises:
            EndOfInput, Farewell: there is no more of them.
        """
        event = yield from self._event(INACTIVITY_S)
        self.announced = event if isinstance(event, Announced) else None
        return event

    def complete(self, arguments: Parser, command: Command) -> Generator[Request, Any, Parser]:
        """Read the literals that are arguments, up to one that the handler will stream.

        Raises:
            CommandFailed: the command is too long.
        """
        while self.announced is not None and not command.streams(arguments.copy()):
            announced, self.announced = self.announced, None
            if self.reader.accept():
                if announced.waits:
                    yield from self.send(b"+ OK\r\n")
            elif announced.waits:
                raise CommandFailed(TOO_LONG)
            event = yield from self._event(LITERAL_S)
            if isinstance(event, Overlong):
                raise CommandFailed(TOO_LONG)
            if isinstance(event, Announced):
                self.announced = event
            _, _, arguments = parser.command(event.text)
        return arguments

    def chunk(self) -> Generator[Request, Any, bytes]:
        """Give the next piece of the announced literal; the first call asks the client for it."""
        if self.announced is not None:
            if self.announced.waits:
                yield from self.send(b"+ OK\r\n")
            self.reader.stream()
            self.announced, self._rest_is_due = None, True
        while True:
            chunk = self.reader.chunk()
            if chunk is not None:
                return chunk
            yield from self._receive(LITERAL_S)

    def rest(self) -> Generator[Request, Any, Event]:
        """Read what follows the streamed literal."""
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
            if isinstance((yield from self.rest()), Announced):
                self.announced = None
                self.reader.refuse()

    def idle(self, idle: Idle) -> Generator[Request, Any, bytes | Wake]:
        """Wait for a line, or for what else ends the wait; nothing stands for a part of a line."""
        event = self._next()
        if event is None:
            woken = self._take((yield Receive(idle.timeout_s, idle.watch)))
            if woken is not None:
                return woken
            event = self._next()
        if event is None:
            return b""
        if isinstance(event, Announced):
            self.reader.refuse()
        return event.text

    def _event(self, timeout_s: float) -> Generator[Request, Any, Event]:
        while True:
            event = self._next()
            if event is not None:
                return event
            yield from self._receive(timeout_s)

    def _next(self) -> Event | None:
        try:
            return self.reader.next()
        except reader.StreamLost:
            raise Farewell("[ALERT] Literal too large.") from None

    def _receive(self, timeout_s: float) -> Steps:
        if self._take((yield Receive(timeout_s))) is Wake.TIMEOUT:
            raise Farewell("Disconnected for inactivity.", is_timeout=True)

    def _take(self, data: bytes | Wake) -> Wake | None:
        """Take what a `Receive` was answered: input, or why there is none."""
        if isinstance(data, Wake):
            return data
        if not data:
            raise EndOfInput
        self.counts.received += len(data)
        self.reader.feed(data)
        return None
