"""The authorization state: from the greeting until the client is known (RFC 1939 4, RFC 5034, RFC 2595).

USER and PASS, AUTH, STLS, CAPA, LANG, UTF8, QUIT. A generator like the session that follows it: it yields
octets and requests (`courier.process.login_request`) and is sent their answers. When its client is let in it
is closed while it waits for the answer; the session says the OK.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from courier import log
from courier.auth import sasl
from courier.auth.domain import DefaultDomain
from courier.auth.sasl import Credentials
from courier.net import penalties
from courier.process.encryption import Encryption
from courier.process.login_request import (
    Answer,
    Ask,
    Authenticate,
    LoginSteps,
    Pause,
    StartTls,
    Stranger,
)
from courier.process.message import Kind
from courier.process.request import ClientGone, Receive, ShuttingDown, Wake
from pop3d import capability, wire
from pop3d.session import INVALID
from pop3d.settings import Settings
from pop3d.wire import Line, Reader

#: Seconds from the connection to the completed log-in.
LOGIN_S = 60.0
#: How master is told what the session needs to know: whether the client said UTF8.
PROTOCOL, PROTOCOL_UTF8 = b"POP3", b"POP3UTF8"

_GREETING = "+OK Hello there."
_NEEDS_TLS = "-ERR TLS required to log in."
_TEMPORARY = "Temporary problem, please try again later"

#: Octets of a line: AUTH with an initial response as long as RFC 5034 4 wants it.
_MAX_LINE = 12_288 + 64

_Handling = Generator[Any, Any, None]


class _Over(Exception):
    """The connection ends; what there is to say has been said."""


class Login:
    """One connection before log-in."""

    def __init__(self, settings: Settings, stranger: Stranger, *, has_tls: bool) -> None:
        """``has_tls``: certificates are loaded, so that STLS can be offered."""
        self._settings = settings
        self._stranger = stranger
        self._encryption = Encryption(
            stranger,
            has_tls=has_tls,
            starttls=settings.starttls,
            is_required=settings.tls_required,
            external=settings.tls.external,
            mechanisms=(*settings.sasl, *settings.auth, *settings.auth_tls),
        )
        self._reader = Reader(_MAX_LINE)
        self._began = time.monotonic()
        self._userid = b""
        self._asked_at: float | None = None  # authdaemond, about what has failed since
        self._steps = 1
        self._utf8 = False
        self._domain = DefaultDomain(settings.default_domain, settings.domain_separators)

    def run(self) -> LoginSteps:
        """Talk to the client until it is let in, or has gone."""
        peer = self._stranger.peer
        log.connection(peer)
        try:
            yield _line(_GREETING)
            while True:
                line = yield from self._next()
                yield from self._handle(line)
        except TimeoutError:
            yield _line("-ERR Disconnected for inactivity.")
        except (ClientGone, ShuttingDown, EOFError, _Over):
            pass
        log.pop3_end_before_login(peer)

    def _debug(self, level: int, what: str, typed: bytes) -> None:
        if self._settings.debug_login >= level:
            log.debug_login(self._stranger.peer, what, typed)

    def _handle(self, line: Line) -> _Handling:
        self._debug(1, "command", line.word.encode())
        match line.word:
            case "USER":
                yield self._user(line)
            case "PASS":
                yield from self._pass(line)
            case "AUTH":
                yield from self._auth(line)
            case "STLS":
                yield from self._start_tls()
            case "CAPA":
                yield capability.listing(
                    self._settings,
                    tls=self._encryption.is_on,
                    offers_tls=self._encryption.is_offered,
                    has_identity=bool(self._encryption.identity),
                    mechanisms=self._encryption.offer.names,
                )
            case "LANG":
                yield capability.language(line)
            case "UTF8":
                self._utf8 = True
                yield _line("+OK UTF8 enabled")
            case "QUIT":
                yield _line("+OK Better luck next time.")
                log.pop3_logout_before_login(self._stranger.peer)
                raise _Over
            case _:
                yield INVALID

    # -- commands --------------------------------------------------------------------------

    def _user(self, line: Line) -> bytes:
        """Take any userid: whether there is such an account is not told."""
        if not line.rest:
            return INVALID
        if self._encryption.is_lacking:
            return _line(_NEEDS_TLS)
        self._userid = line.rest
        return _line("+OK Password required.")

    def _pass(self, line: Line) -> _Handling:
        if not self._userid or not line.rest:
            yield _line("-ERR USER/PASS required.")
            return
        self._debug(1, "username", self._userid)
        self._debug(2, "password", line.rest)
        try:
            credentials = sasl.password(self._userid, line.rest, self._domain)
        except sasl.Refused:
            log.login_failed(self._userid, self._stranger.peer)
            yield from self._refuse(None)
            return
        yield from self._ask(credentials, None)

    def _auth(self, line: Line) -> _Handling:
        """RFC 5034, with or without an initial response."""
        if self._encryption.is_lacking:
            yield _line(_NEEDS_TLS)
            return
        words = line.words()
        if not words:
            yield INVALID
            return
        mechanism = words[0].decode("ascii", "replace").upper()
        initial = words[1] if len(words) > 1 else None
        try:
            encryption = self._encryption
            steps = sasl.start(
                mechanism, initial, self._domain, encryption.identity, encryption.offer
            )
            credentials = yield from self._exchange(steps, mechanism)
        except (sasl.Cancelled, sasl.Malformed):
            log.method_failed(mechanism, self._stranger.peer)
            yield _line("-ERR Authentication aborted.")
            return
        except sasl.Told:
            yield from self._refuse("-ERR Authentication failed.")
            return
        except sasl.Failed:
            log.method_failed(mechanism, self._stranger.peer)
            yield from self._refuse(mechanism)
            return
        yield from self._ask(credentials, mechanism)

    def _exchange(self, steps: sasl.Steps, mechanism: str) -> Generator[Any, Any, Credentials]:
        response: bytes | None = None
        while True:
            try:
                step = steps.send(response)
            except StopIteration as stop:
                credentials: Credentials = stop.value
                return credentials
            if isinstance(step, sasl.Question):
                response = yield from self._question(step)
                continue
            if isinstance(step, sasl.Refusal):
                log.method_failed(mechanism, self._stranger.peer)  # clients may just go away now
                yield _line(f"+ {step.challenge.decode('ascii')}")
                yield from self._text()
                raise sasl.Told
            yield _line(f"+ {step.decode('ascii')}")
            response = (yield from self._text()).strip(b" \t\r")

    def _question(self, question: sasl.Question) -> Generator[Any, Any, bytes | None]:
        self._asked_at = time.monotonic()
        answer: Answer = yield Ask(
            self._service(), question.authtype, question.first, question.second.reveal()
        )
        self._steps = answer.steps
        if answer.kind is Kind.TEMPORARY:
            yield self._refusal(_TEMPORARY, wire.SYS_TEMP)
            raise _Over
        return answer.text.encode() if answer.kind is Kind.SAID else None

    def _service(self) -> bytes:
        return self._settings.auth_service.get(self._stranger.local_port, "pop3").encode()

    def _ask(self, credentials: Credentials, mechanism: str | None) -> _Handling:
        """Have the credentials checked; who is let in never comes back here."""
        self._asked_at = time.monotonic()
        answer: Answer = yield Authenticate(
            self._service(),
            credentials.authtype,
            credentials.first,
            credentials.second.reveal(),
            b"",
            self._reader.unread(),
            PROTOCOL_UTF8 if self._utf8 else PROTOCOL,
        )
        if answer.kind is Kind.DISABLED:
            yield self._refusal(answer.text, wire.AUTH)
            raise _Over
        if answer.kind is Kind.TEMPORARY:
            yield self._refusal(_TEMPORARY, wire.SYS_TEMP)
            raise _Over
        if answer.kind is Kind.UNREACHED:
            # Nothing is wrong with what was typed: no LOGIN FAILED, by which filters ban.
            yield from self._refuse(mechanism, wire.SYS_TEMP)
            return
        self._steps = answer.steps
        if mechanism is None:
            log.login_failed(self._userid, self._stranger.peer)
        else:
            log.method_failed(mechanism, self._stranger.peer)
        yield from self._refuse(mechanism)

    def _refuse(self, mechanism: str | None, code: str = wire.AUTH) -> _Handling:
        """Let some time pass, and say that USER and PASS, or AUTH, did not do."""
        elapsed_s = time.monotonic() - self._asked_at if self._asked_at is not None else 0.0
        pause_s = penalties.pause_s(elapsed_s, self._steps)
        self._asked_at, self._steps = None, 1
        yield Pause(min(pause_s, self._left_s()))
        yield self._refusal(
            "Login failed." if mechanism is None else "Authentication failed.", code
        )

    def _refusal(self, text: str, code: str) -> bytes:
        return wire.refusal(text, code, with_code=self._settings.extensions)

    def _start_tls(self) -> _Handling:
        """RFC 2595 4: what was known of the client, and what it sent before, counts no more."""
        if not self._encryption.is_offered:
            yield _line("-ERR TLS support not available.")
            return
        yield _line("+OK Begin SSL/TLS negotiation now.")
        self._reader = Reader(_MAX_LINE)
        self._userid, self._utf8 = b"", False
        yield StartTls(self._left_s())

    # -- input -----------------------------------------------------------------------------

    def _left_s(self) -> float:
        return max(0.0, self._began + LOGIN_S - time.monotonic())

    def _next(self) -> Generator[Any, Any, Line]:
        while True:
            line = self._reader.next()
            if line is not None:
                return line
            yield from self._receive()

    def _text(self) -> Generator[Any, Any, bytes]:
        while True:
            text = self._reader.next_text()
            if text is not None:
                return text
            yield from self._receive()

    def _receive(self) -> _Handling:
        data = yield Receive(self._left_s())
        if isinstance(data, Wake):
            raise TimeoutError
        if not data:
            raise EOFError
        self._reader.feed(data)


def _line(text: str) -> bytes:
    return text.encode() + b"\r\n"
