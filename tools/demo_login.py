"""The not-authenticated state: from the greeting until the client is known (RFC 3501 6.1, 6.2).

CAPABILITY, NOOP, LOGOUT, LOGIN and AUTHENTICATE PLAIN. A generator like the session that follows
it; whoever drives it hands the answer, and what the client has sent beyond its log-in, to
`imapd.session`.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from courier import log
from courier.log import Peer
from courier.process.request import ClientGone, Receive, Request, ShuttingDown, Wake
from imapd import capability
from imapd.completion import CommandFailed, Completion, Farewell, No, Ok, Violation
from imapd.settings import Settings
from imapd.wire import parser, reader
from imapd.wire.parser import ParseError, Parser

#: Seconds from the connection to the completed log-in.
LOGIN_S = 60.0
_MAX_VIOLATIONS = 10
_MAX_LITERAL = 8192

Authenticate = Callable[[str, str], bool]
Steps = Generator[Request, Any, Completion]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Who the client is, the completion that tells it so, and what it has sent beyond that."""

    userid: str
    completion: bytes
    unread: bytes


class Login:
    """One connection before log-in."""

    def __init__(self, settings: Settings, peer: Peer, authenticate: Authenticate) -> None:
        self._settings = settings
        self._peer = peer
        self._authenticate = authenticate
        self._reader = reader.Reader()
        self._deadline = time.monotonic() + LOGIN_S
        self._userid: str | None = None
        self._ended = False
        self._violations = 0

    def run(self) -> Generator[Request, Any, LoggedIn | None]:
        """Talk to the client until it has logged in, or has gone (None)."""
        try:
            yield (
                f"* OK [CAPABILITY {self._capabilities()}] Courier-IMAP ready. "
                "This is pycourier.\r\n"
            ).encode()
            while True:
                tag, completion = yield from self._command()
                line = completion.line(tag)
                if self._userid is not None:
                    return LoggedIn(self._userid, line, self._reader.unread())
                yield line
                if self._ended:
                    return None
        except Farewell as farewell:
            yield f"* BYE {farewell.text}\r\n".encode()
        except ShuttingDown:
            yield b"* BYE Courier-IMAP server shut down by signal.\r\n"
        except (ClientGone, EOFError):
            pass
        return None

    def _capabilities(self) -> str:
        return capability.listed(self._settings, tls=False)

    def _command(self) -> Generator[Request, Any, tuple[bytes, Completion]]:
        text = yield from self._whole()
        tag = reader.tag_of(text) or b"*"
        try:
            try:
                _, name, arguments = parser.command(text)
                completion = yield from self._handle(name, arguments)
            except ParseError as error:
                raise Violation from error
        except CommandFailed as failure:
            if isinstance(failure, Violation):
                self._count_violation()
            return tag, failure.completion
        self._violations = 0
        return tag, completion

    def _count_violation(self) -> None:
        self._violations += 1
        if self._violations >= _MAX_VIOLATIONS:
            raise Farewell("[ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ")

    def _handle(self, name: str, arguments: Parser) -> Steps:
        match name:
            case "CAPABILITY":
                arguments.end()
                yield f"* CAPABILITY {self._capabilities()}\r\n".encode()
                return Ok("CAPABILITY completed")
            case "NOOP":
                arguments.end()
                return Ok("NOOP completed")
            case "LOGOUT":
                arguments.end()
                self._ended = True
                yield b"* BYE Courier-IMAP server shutting down\r\n"
                return Ok("LOGOUT completed")
            case "LOGIN":
                return self._login(arguments)
            case "AUTHENTICATE":
                return (yield from self._authenticate_plain(arguments))
            case _:
                raise Violation

    def _login(self, arguments: Parser) -> Completion:
        arguments.sp()
        userid = arguments.astring()
        arguments.sp()
        password = arguments.astring()
        arguments.end()
        return self._check(userid, password)

    def _authenticate_plain(self, arguments: Parser) -> Steps:
        """RFC 4616, with or without an initial response (RFC 4959)."""
        arguments.sp()
        mechanism = arguments.astring().upper()
        initial = b""
        if not arguments.at_end():
            arguments.sp()
            initial = arguments.astring()
        arguments.end()
        if mechanism != b"PLAIN":
            return No("Login failed.")
        if not initial:
            yield b"+ \r\n"
            initial = (yield from self._line()).strip()
        try:
            _, userid, password = base64.b64decode(initial, validate=True).split(b"\0")
        except (binascii.Error, ValueError):
            return No("Login failed.")
        return self._check(userid, password)

    def _check(self, userid: bytes, password: bytes) -> Completion:
        try:
            name, secret = userid.decode(), password.decode()
        except UnicodeDecodeError:
            return No("Login failed.")
        if not self._authenticate(name, secret):
            log.login_failed(name, self._peer)
            return No("Login failed.")
        self._userid = name
        return Ok("LOGIN Ok.")

    # -- input -----------------------------------------------------------------------------

    def _whole(self) -> Generator[Request, Any, bytes]:
        """Read a command with its literals."""
        while True:
            event = yield from self._event()
            if isinstance(event, reader.Line):
                return event.text
            if isinstance(event, reader.Overlong):
                raise Farewell("[ALERT] IMAP command too long.")
            if event.size > _MAX_LITERAL or not self._reader.accept():
                raise Farewell("[ALERT] IMAP command too long.")
            if event.waits:
                yield b"+ OK\r\n"

    def _line(self) -> Generator[Request, Any, bytes]:
        event = yield from self._event()
        if not isinstance(event, reader.Line):
            raise Farewell("[ALERT] Error in IMAP command received by server.")
        return event.text

    def _event(
        self,
    ) -> Generator[Request, Any, reader.Line | reader.Announced | reader.Overlong]:
        while True:
            try:
                event = self._reader.next()
            except reader.StreamLost:
                raise Farewell("[ALERT] Literal too large.") from None
            if event is not None:
                return event
            data = yield Receive(max(0.0, self._deadline - time.monotonic()))
            if data is Wake.TIMEOUT:
                raise Farewell("Disconnected for inactivity.", is_timeout=True)
            if not data:
                raise EOFError
            self._reader.feed(data)
