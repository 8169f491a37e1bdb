"""The not-authenticated state: from the greeting until the client is known (RFC 3501 6.1, 6.2).

CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN and AUTHENTICATE. A generator like the session that
follows it: it yields octets and requests (`courier.process.login_request`) and is sent their
answers. When its client is let in it is closed while it waits for the answer; the session says the OK.
Of a client that comes back from its session (RFC 8437) it knows nothing: it begins anew, without a greeting.
"""

from __future__ import annotations

import re
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
from imapd import capability, login_words, smap
from imapd.commands import id
from imapd.completion import Bad, CommandFailed, Completion, Farewell, No, Ok, Violation
from imapd.settings import Settings
from imapd.wire import parser, reader
from imapd.wire.parser import ParseError, Parser

#: Seconds from the connection, or from the end of a session before, to the completed log-in.
LOGIN_S = 60.0
_MAX_VIOLATIONS = 10
#: Commands of this state and of the others: who knows them is no stranger to the protocol. The latter are listed
#: here, because the modules that carry them out are none of a log-in process's.
_HERE = frozenset({"AUTHENTICATE", "CAPABILITY", "ID", "LOGIN", "LOGOUT", "NOOP", "STARTTLS"})
LATER = frozenset(
    {
        *("ACL", "APPEND", "CANCELUPDATE", "CHECK", "CLOSE", "COMPRESS", "COPY", "CREATE"),
        *("DELETE", "DELETEACL", "ENABLE", "ESEARCH", "EXAMINE", "EXPUNGE", "FETCH"),
        *("GETACL", "GETMETADATA", "GETQUOTA", "GETQUOTAROOT", "IDLE", "LIST"),
        *("LISTRIGHTS", "LSUB", "MOVE", "MYRIGHTS", "NAMESPACE", "NOTIFY", "RENAME"),
        *("REPLACE", "SEARCH", "SELECT", "SETACL", "SETMETADATA", "SETQUOTA", "SORT"),
        *("STATUS", "STORE", "SUBSCRIBE", "THREAD", "UID", "UIDBATCHES", "UNAUTHENTICATE"),
        *("UNSELECT", "UNSUBSCRIBE"),
    }
)
#: Octets of a command and of a literal in it. A stranger gets no more memory than log-ins need.
_MAX_COMMAND = 16_384
_MAX_LITERAL = 8_192
_MAX_RESPONSE = 12_288

_TEMPORARY = "Temporary problem, please try again later"

_SMAP = re.compile(rb"[ \t]*\\(SMAP1)(?=[ \t\r\n])")

_Handling = Generator[Any, Any, Completion]


class Login:
    """One connection before log-in."""

    def __init__(self, settings: Settings, stranger: Stranger, *, has_tls: bool) -> None:
        """``has_tls``: certificates are loaded, so that STARTTLS can be offered."""
        self._settings = settings
        self._stranger = stranger
        self._encryption = Encryption(
            stranger,
            has_tls=has_tls,
            starttls=settings.starttls,
            is_required=settings.tls_required,
            external=settings.tls.external,
            mechanisms=capability.mechanisms(settings),
        )
        self._reader = reader.Reader(_MAX_COMMAND)
        self._began = time.monotonic()
        self._ended = False
        self._violations = 0
        self._is_smap = False  # from the first tag that asks for it on
        self._received = self._sent = 0
        self._asked_at: float | None = None  # authdaemond, about what has failed since
        self._steps = 1
        self._domain = DefaultDomain(settings.default_domain, settings.domain_separators)

    def run(self) -> LoginSteps:
        """Talk to the client until it is let in, or has gone."""
        peer = self._stranger.peer
        try:
            if not self._stranger.has_returned:  # RFC 8437 3: the OK was all
                log.connection(peer)
                yield self._out(
                    f"* OK [CAPABILITY {self._capabilities()}] Courier-IMAP ready. "
                    "This is pycourier.\r\n"
                )
            while not self._ended:
                tag, completion = yield from self._command()
                yield self._out(self._line(tag, completion))
            log.logout_before_login(peer, self._received, self._sent)
            return
        except Farewell as farewell:
            yield self._out(f"* BYE {farewell.text}\r\n")
        except ShuttingDown:
            yield self._out("* BYE Courier-IMAP server shut down by signal.\r\n")
            log.shut_down_before_login(peer, int(time.monotonic() - self._began))
            return
        except (ClientGone, EOFError):
            pass
        log.disconnected(peer, int(time.monotonic() - self._began), self._encryption.is_on)

    def _out(self, text: str) -> bytes:
        data = text.encode()
        self._sent += len(data)
        return data

    def _capabilities(self) -> str:
        return capability.before_login(
            self._settings,
            tls=self._encryption.is_on,
            offers_tls=self._encryption.is_offered,
            needs_tls=self._encryption.is_lacking,
            has_identity=bool(self._encryption.identity),
            mechanisms=self._encryption.offer.names,
        )

    def _let_in(self, tag: bytes) -> bytes:
        """Write what a client is told that is let in, with what its session can do (RFC 9051 7.1)."""
        if self._is_smap:
            return smap.GREETING
        code = ""
        if self._settings.extensions:
            words = capability.listed(
                self._settings, tls=self._encryption.is_on, may_return=self._stranger.may_return
            )
            code = f"CAPABILITY {words}"
        return Ok("LOGIN Ok.", code).line(tag)

    # -- commands --------------------------------------------------------------------------

    def _command(self) -> Generator[Any, Any, tuple[bytes, Completion]]:
        text = yield from self._whole()
        switch = _SMAP.match(text) if self._settings.smap_capability else None
        if switch is not None:
            self._is_smap = True
            text = text[switch.start(1) :]  # with a tag that is one
        tag = reader.tag_of(text) or b"*"
        name = ""
        try:
            try:
                _, name, arguments = parser.command(text)
                completion = yield from self._handle(tag, name, arguments)
            except ParseError as error:
                raise Violation from error
        except CommandFailed as failure:
            # Courier counts wrong arguments and commands of another state, too.
            if isinstance(failure, Violation) and name.split(" ")[0] not in _HERE | LATER:
                self._count_violation()
            return tag, failure.completion
        self._violations = 0
        return tag, completion

    def _line(self, tag: bytes, completion: Completion) -> str:
        """Write a completion; once SMAP was asked for, as SMAP has it, whatever the tag."""
        if not self._is_smap:
            return completion.line(tag).decode()
        status = "+OK" if isinstance(completion, Ok) else "-ERR"
        return f"{status} {completion.text}\r\n"

    def _count_violation(self) -> None:
        self._violations += 1
        if self._violations >= _MAX_VIOLATIONS:
            raise Farewell("[ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ")

    def _debug(self, level: int, what: str, typed: bytes) -> None:
        if self._settings.debug_login >= level:
            log.debug_login(self._stranger.peer, what, typed)

    def _handle(self, tag: bytes, name: str, arguments: Parser) -> _Handling:
        self._debug(1, "command", name.encode())
        match name:
            case "CAPABILITY":
                arguments.end()
                yield self._out(f"* CAPABILITY {self._capabilities()}\r\n")
                return Ok("CAPABILITY completed")
            case "NOOP":
                arguments.end()
                return Ok("NOOP completed")
            case "LOGOUT":
                arguments.end()
                self._ended = True
                yield self._out("* BYE Courier-IMAP server shutting down\r\n")
                return Ok("LOGOUT completed")
            case "STARTTLS":
                return (yield from self._start_tls(tag, arguments))
            case "LOGIN":
                return (yield from self._login(tag, arguments))
            case "AUTHENTICATE":
                return (yield from self._authenticate(tag, arguments))
            case "ID" if self._settings.id_fields is not None:  # RFC 2971 3; Courier: later only
                log.client_id("", self._stranger.peer, id.fields(arguments))
                yield self._out(id.response(self._settings.id_fields).decode())
                return Ok("ID completed")
            case _:
                raise Violation

    def _start_tls(self, tag: bytes, arguments: Parser) -> _Handling:
        arguments.end()
        if not self._encryption.is_offered:
            raise Violation
        yield self._out(self._line(tag, Ok("Begin SSL/TLS negotiation now.")))
        self._reader = reader.Reader(_MAX_COMMAND)  # nothing that was sent before it counts
        self._violations = 0
        yield StartTls(self._left_s())
        return (yield from self._next_command())

    def _next_command(self) -> _Handling:
        """STARTTLS has no completion behind the handshake: go on with what follows."""
        while True:
            tag, completion = yield from self._command()
            if self._ended:
                return completion
            yield self._out(self._line(tag, completion))

    def _login(self, tag: bytes, arguments: Parser) -> _Handling:
        arguments.sp()
        if self._is_smap:
            userid, password = login_words.as_cone_quotes(arguments)
        else:
            userid, password = login_words.two_strings(
                arguments, is_lenient=self._settings.client_workarounds
            )
        self._debug(1, "username", userid)
        self._debug(2, "password", password)
        if self._encryption.is_lacking:
            return No("STARTTLS required", "PRIVACYREQUIRED")
        try:
            credentials = sasl.password(userid, password, self._domain)
        except sasl.Refused:
            log.login_failed(userid, self._stranger.peer)
            return (yield from self._refuse())
        return (yield from self._ask(tag, credentials, userid, None))

    def _authenticate(self, tag: bytes, arguments: Parser) -> _Handling:
        """RFC 9051 6.2.2, with or without an initial response (RFC 4959)."""
        arguments.sp()
        mechanism = arguments.atom().decode("ascii").upper()
        initial = None
        if not arguments.at_end():
            arguments.sp()
            initial = arguments.atom()
        arguments.end()
        if self._encryption.is_lacking:
            return No("STARTTLS required", "PRIVACYREQUIRED")
        try:
            encryption = self._encryption
            steps = sasl.start(
                mechanism, initial, self._domain, encryption.identity, encryption.offer
            )
            credentials = yield from self._exchange(tag, steps, mechanism)
        except sasl.Told:
            return (yield from self._refuse())
        except sasl.Failed as failure:
            log.method_failed(mechanism, self._stranger.peer)
            refusal = yield from self._refuse()
            # RFC 9051 6.2.2. Courier says NO to whatever it is.
            is_bad = isinstance(failure, sasl.Cancelled | sasl.Malformed)
            return Bad(refusal.text) if is_bad else refusal
        return (yield from self._ask(tag, credentials, b"", mechanism))

    def _exchange(
        self, tag: bytes, steps: sasl.Steps, mechanism: str
    ) -> Generator[Any, Any, Credentials]:
        response: bytes | None = None
        while True:
            try:
                step = steps.send(response)
            except StopIteration as stop:
                credentials: Credentials = stop.value
                return credentials
            if isinstance(step, sasl.Question):
                response = yield from self._question(tag, step)
                continue
            prompt = ">" if self._is_smap else "+"
            if isinstance(step, sasl.Refusal):
                log.method_failed(mechanism, self._stranger.peer)  # clients may just go away now
                yield self._out(f"{prompt} {step.challenge.decode('ascii')}\r\n")
                yield from self._response()
                raise sasl.Told
            yield self._out(f"{prompt} {step.decode('ascii')}\r\n")
            response = yield from self._response()

    def _question(self, tag: bytes, question: sasl.Question) -> Generator[Any, Any, bytes | None]:
        self._asked_at = time.monotonic()
        answer: Answer = yield Ask(
            self._service(), question.authtype, question.first, question.second.reveal()
        )
        self._steps = answer.steps
        if answer.kind is Kind.TEMPORARY:
            yield from self._put_off(tag)
        return answer.text.encode() if answer.kind is Kind.SAID else None

    def _response(self) -> Generator[Any, Any, bytes]:
        """Read one line of base64; what announces a literal is none."""
        event = yield from self._event()
        if isinstance(event, reader.Announced):
            self._reader.refuse()
            return b"!"  # no base64
        if isinstance(event, reader.Overlong) or len(event.text) > _MAX_RESPONSE:
            return b"!"
        return event.text.strip(b" \t\r\n")

    def _ask(
        self, tag: bytes, credentials: Credentials, typed: bytes, mechanism: str | None
    ) -> _Handling:
        """Have the credentials checked; who is let in never comes back here."""
        self._asked_at = time.monotonic()
        answer: Answer = yield Authenticate(
            self._service(),
            credentials.authtype,
            credentials.first,
            credentials.second.reveal(),
            self._let_in(tag),
            self._reader.unread(),
            smap.NAME.encode() if self._is_smap else b"IMAP",
        )
        if answer.kind is Kind.DISABLED:
            yield self._out(self._line(tag, No(answer.text)))
            raise Farewell(answer.text)
        # Courier: the line stands there for temporary failures too, and bans the innocent.
        if answer.kind is Kind.TEMPORARY:
            yield from self._put_off(tag)
        if answer.kind is Kind.UNREACHED:
            # Nothing is wrong with what was typed: no LOGIN FAILED, which bans.
            return (yield from self._refuse("UNAVAILABLE"))
        self._steps = answer.steps
        if mechanism is None:
            log.login_failed(typed, self._stranger.peer)
        else:
            log.method_failed(mechanism, self._stranger.peer)
        return (yield from self._refuse())

    def _put_off(self, tag: bytes) -> Generator[Any, Any, None]:
        """End the connection for reasons that are not the client's (RFC 5530 3)."""
        if self._settings.extensions:
            yield self._out(self._line(tag, No(_TEMPORARY, "UNAVAILABLE")))
        raise Farewell(_TEMPORARY)

    def _service(self) -> bytes:
        return self._settings.auth_service.get(self._stranger.local_port, "imap").encode()

    def _refuse(self, code: str = "AUTHENTICATIONFAILED") -> _Handling:
        """Refuse as late as Courier does, with a response code (RFC 5530 3)."""
        elapsed_s = time.monotonic() - self._asked_at if self._asked_at is not None else 0.0
        pause_s = penalties.pause_s(elapsed_s, self._steps)
        self._asked_at, self._steps = None, 1
        yield Pause(min(pause_s, self._left_s()))
        return No("Login failed.", code if self._settings.extensions else "")

    # -- input -----------------------------------------------------------------------------

    def _whole(self) -> Generator[Any, Any, bytes]:
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
                yield self._out("+ OK\r\n")

    def _left_s(self) -> float:
        return max(0.0, self._began + LOGIN_S - time.monotonic())

    def _event(self) -> Generator[Any, Any, reader.Line | reader.Announced | reader.Overlong]:
        while True:
            try:
                event = self._reader.next()
            except reader.StreamLost:
                raise Farewell("[ALERT] Literal too large.") from None
            if event is not None:
                return event
            data = yield Receive(self._left_s())
            if data is Wake.TIMEOUT:
                raise Farewell("Disconnected for inactivity.", is_timeout=True)
            if not data:
                raise EOFError
            self._received += len(data)
            self._reader.feed(data)
