"""One connection of a login process: its log-in, then the relay of its TLS session."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from courier import log
from courier.net.tls import TlsStream
from courier.process.login_request import (
    Answer,
    Ask,
    Authenticate,
    LoginSteps,
    Pause,
    StartTls,
    Stranger,
)
from courier.process.loop import Timer
from courier.process.message import Kind, LoginRequest, Question
from courier.process.request import ClientGone, Receive, ShuttingDown, Wake
from courier.process.stream import Stream

if TYPE_CHECKING:
    from courier.process.login import LoginProcess

#: Seconds without progress in writing after which a client is given up.
_STALLED_S = 60.0
_HIGH_WATER = 65_536
#: Octets of a stranger that are read at once, and the unread ones from which no more are read: less
#: than 8 kB of them are ever kept.
_READ_AT_ONCE = 4096
_RELAYED_AT_ONCE = 32_768


class Connection:
    """One stranger: drives its log-in, then relays its TLS session."""

    __slots__ = (
        "_at_end",
        "_inner",
        "_input",
        "_is_asking",
        "_is_over",
        "_is_starting_tls",
        "_number",
        "_offered",
        "_process",
        "_stalled",
        "_steps",
        "_stranger",
        "_stream",
        "_timer",
        "_tls",
        "_unsent",
        "_waits",
        "_was_taken",
    )

    def __init__(self, process: LoginProcess, number: int, stranger: Stranger) -> None:
        self._process = process
        self._number = number
        self._stranger = stranger
        self._steps: LoginSteps | None = process.make_login(stranger)
        self._stream: Stream | None = None
        self._tls: TlsStream | None = None
        self._is_starting_tls = False
        self._input = bytearray()  # plain text that the log-in has not asked for
        self._at_end = False
        self._waits = False  # the log-in wants input
        self._is_asking = False  # an `Authenticate` is on its way
        self._timer: Timer | None = None
        self._stalled: Timer | None = None
        self._unsent = 0  # octets, when progress was looked for last
        self._inner: Stream | None = None  # the session's end of a TLS connection
        self._offered: socket.socket | None = None
        self._was_taken = False
        self._is_over = False

    def start(self, client: socket.socket) -> None:
        """Talk to the client at the other end of a non-blocking socket."""
        try:
            self._stream = Stream(self._process.loop, self, client, _HIGH_WATER)
        except OSError:
            client.close()
            self._end()
            return
        self._stream.read_at_once = _READ_AT_ONCE
        if self._process.tls_from_start:
            self._start_tls(_STALLED_S)
        else:
            self._go_on(None)
        if self._process.is_stopping:  # it was accepted just before
            self.stop()

    # -- the client's side -----------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._tls is None:
            self._hear(data)
            return
        self._hear(self._decrypt(data))
        if self._tls.is_closed_by_peer:
            self.ended()

    def _hear(self, data: bytes) -> None:
        """Take plain text of the client's."""
        if self._inner is not None:
            if data and not self._at_end:
                self._inner.write(data)
                if self._inner is not None and self._inner.is_blocked and self._stream is not None:
                    self._stream.pause()
            return
        self._input += data
        if len(self._input) >= _READ_AT_ONCE and self._stream is not None:
            self._stream.pause()
        if self._waits and self._input:
            self._go_on(self._take_input())

    def ended(self) -> None:
        if self._at_end:
            return
        self._at_end = True
        if self._tls is not None:
            self._tls.feed_eof()
            if self._is_starting_tls:
                self._throw(ClientGone())
                return
        if self._inner is not None:
            self._inner.write_eof()  # what the session has still to say is relayed
        elif self._waits:
            self._go_on(b"")

    def lost(self) -> None:
        self._at_end = True
        if self._inner is not None:
            self._inner.close()
        if self._steps is not None:
            self._throw(ClientGone())
        self._stream = None
        self._end()

    def _has_blocked(self) -> None:
        """The client does not read: neither does the relay, nor does the log-in go on."""
        if self._inner is not None:
            self._inner.pause()
        if self._stalled is None:
            self._watch_progress()

    def drained(self) -> None:
        if self._stream is None or self._stream.is_closing:
            return  # the rest has to be taken, too
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._inner is not None:
            self._inner.resume()
        elif self._steps is not None and self._timer is None and not self._is_asking:
            self._go_on(None)  # it stopped between two steps

    def _watch_progress(self) -> None:
        """Give a client up that takes nothing of what is to be written."""
        if self._stream is not None:
            self._unsent = self._stream.unsent
            self._stalled = self._process.loop.later(_STALLED_S, self._give_up)

    def _give_up(self) -> None:
        if self._stream is None:
            return
        if self._stream.unsent < self._unsent:
            self._watch_progress()
        else:
            self._abort()

    def _take_input(self) -> bytes:
        data = bytes(self._input)
        self._input.clear()
        if self._stream is not None and not self._at_end:
            self._stream.resume()
        return data

    def write(self, data: bytes) -> None:
        """Send plain text to the client."""
        if self._stream is None or self._stream.is_closing or not data:
            return
        if self._tls is not None:
            if not self._tls.is_established:
                return
            self._tls.write(data)
            data = self._tls.pending_output()
        self._stream.write(data)
        if self._stream.is_blocked:
            self._has_blocked()

    # -- TLS -------------------------------------------------------------------------------

    def _start_tls(self, seconds: float) -> None:
        """Let nothing survive that was received before the handshake (RFC 3501 6.2.1)."""
        assert self._process.contexts is not None
        self._input.clear()
        self._tls = self._process.contexts.stream(self._stranger.local_ip)
        self._stranger.tls = self._tls
        self._is_starting_tls = True
        self._set_timer(seconds, self._abort)

    def _decrypt(self, data: bytes) -> bytes:
        assert self._tls is not None and self._stream is not None
        plain = self._tls.feed(data)
        self._stream.write(self._tls.pending_output())
        if self._tls.failure is not None:
            log.tls_failed(self._stranger.peer, self._tls.failure)
            self._abort_later()
        elif self._is_starting_tls and self._tls.is_established:
            self._is_starting_tls = False
            self._clear_timer()
            self._input += plain
            plain = b""
            self._go_on(None)
        return plain

    def _abort_later(self) -> None:
        """Close once the alert is written."""
        if self._steps is not None:
            self._throw(ClientGone())
        if self._stream is not None:
            self._stream.close()

    # -- the log-in ------------------------------------------------------------------------

    def stop(self) -> None:
        """Say goodbye, unless master decides on this client now or a worker says it."""
        if self._tls is not None and not self._tls.is_established:
            self._abort()
        elif self._steps is not None and not self._is_asking:
            self._throw(ShuttingDown())

    def _throw(self, failure: BaseException) -> None:
        self._clear_timer()
        self._go_on(None, failure)

    def _go_on(self, answer: Any, failure: BaseException | None = None) -> None:
        """Run the log-in's steps until it waits for something."""
        self._waits = False
        while self._steps is not None:
            try:
                if failure is not None:
                    step = self._steps.throw(failure)
                else:
                    step = self._steps.send(answer)
            except (StopIteration, ClientGone, ShuttingDown):
                self._close()
                return
            except Exception as error:
                log.bug("-", "log-in", error)
                self._close()
                return
            answer = failure = None
            if isinstance(step, bytes):
                self.write(step)
                if self._stream is not None and self._stream.is_blocked:
                    self._clear_timer()
                    return
            elif isinstance(step, Receive):
                self._clear_timer()
                if self._input:
                    answer = self._take_input()
                    continue
                if self._at_end:
                    answer = b""
                    continue
                self._waits = True
                self._set_timer(step.timeout_s, self._time_out)
                return
            elif isinstance(step, Pause):
                self._set_timer(step.seconds, self._paused)
                return
            elif isinstance(step, StartTls):
                self._start_tls(step.seconds)
                return
            else:
                self._clear_timer()
                if not self._offer(step):
                    self._is_asking = False
                    answer = Answer(Kind.TEMPORARY)
                    continue
                return

    def _time_out(self) -> None:
        if self._waits:
            self._go_on(Wake.TIMEOUT)

    def _paused(self) -> None:
        self._timer = None
        self._go_on(None)

    def _offer(self, step: Authenticate | Ask) -> bool:
        """Send credentials and descriptor to master, or a question; from here on nothing is read."""
        assert self._stream is not None
        self._stream.pause()
        if isinstance(step, Ask):
            self._is_asking = True
            question = (step.service, step.authtype, step.first, step.second)
            return self._process.request(Question(self._number, *question))
        unread = step.unread + bytes(self._input)
        request = LoginRequest(
            self._number,
            step.service,
            step.authtype,
            step.first,
            step.second,
            step.greeting,
            unread,
            step.protocol,
            self._tls is not None,
        )
        self._is_asking = True
        if self._tls is None:
            return self._process.request(request, self._stream.socket.fileno())
        self._offered, session_end = socket.socketpair()
        with session_end:
            return self._process.request(request, session_end.fileno())

    def answered(self, answer: Answer) -> None:
        """Take master's word on what was offered."""
        if not self._is_asking:
            return
        self._is_asking = False
        if answer.kind is not Kind.TAKEN:
            if self._offered is not None:
                self._offered.close()
                self._offered = None
            if self._stream is not None and not self._at_end:
                self._stream.resume()
            if self._process.is_stopping:
                self._throw(ShuttingDown())
            else:
                self._go_on(answer)
            return
        self._was_taken = True
        self._input.clear()  # the session has it
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        if self._offered is None:
            if self._stream is not None:
                self._stream.abort()  # closes our descriptor; the worker has its own
        else:
            self._relay(self._offered)

    # -- the relay -------------------------------------------------------------------------

    def _relay(self, inner: socket.socket) -> None:
        """Pass on what client and session say to each other."""
        inner.setblocking(False)
        self._inner = Stream(self._process.loop, _Inner(self), inner, _HIGH_WATER)
        self._offered = None
        if self._at_end:
            self._inner.write_eof()
        elif self._stream is not None:
            self._stream.read_at_once = _RELAYED_AT_ONCE
            self._stream.resume()

    def pause_relay(self) -> None:
        if self._stream is not None and not self._stream.is_closing:
            self._stream.pause()

    def resume_relay(self) -> None:
        if self._stream is not None and not self._stream.is_closing:
            self._stream.resume()

    def relay_ends(self) -> None:
        """The session closed its end: say so in TLS, and close."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()
        self._close()

    # -- the end ---------------------------------------------------------------------------

    def _close(self) -> None:
        self._steps = None
        self._clear_timer()
        if self._stream is None:
            self._end()
            return
        if self._tls is not None and not self._stream.is_closing:
            self._tls.close()
            self._stream.write(self._tls.pending_output())
        self._stream.close()
        if self._stream is not None and self._stream.unsent and self._stalled is None:
            self._watch_progress()

    def _abort(self) -> None:
        if self._steps is not None:
            self._throw(ClientGone())
        if self._stream is not None:
            self._stream.abort()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._clear_timer()
        if self._stalled is not None:
            self._stalled.cancel()
        if self._offered is not None:
            self._offered.close()
        self._process.ended(self._number, was_taken=self._was_taken)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._clear_timer()
        self._timer = self._process.loop.later(seconds, call)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Inner:
    """The session's end of a relayed TLS connection."""

    __slots__ = ("_outer",)

    def __init__(self, outer: Connection) -> None:
        self._outer = outer

    def received(self, data: bytes) -> None:
        self._outer.write(data)

    def ended(self) -> None:
        self._outer.relay_ends()

    def drained(self) -> None:
        self._outer.resume_relay()

    def lost(self) -> None:
        self._outer.relay_ends()
