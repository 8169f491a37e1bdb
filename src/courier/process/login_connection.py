"""One connection of a login process: its log-in, and what comes of it; more than one if it comes back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from courier import log
from courier.process.backlog import Backlog
from courier.process.client_end import STALLED_S, ClientEnd
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
from courier.process.relay import Relay
from courier.process.request import ClientGone, Receive, ShuttingDown, Wake

if TYPE_CHECKING:
    from courier.process.login import LoginProcess

#: Octets of a stranger that are read at once, and the unread ones from which no more are read: less
#: than 8 kB of them are ever kept, and of TLS, whose records are had as a whole, 24.
_READ_AT_ONCE = 4096
#: Seconds for which a log-in uses what a session has left, before others get their turn.
_TURN_S = 0.005


class Connection:
    """One stranger: drives its log-in, then has it relayed or lets go of it."""

    __slots__ = (
        "_backlog",
        "_client",
        "_input",
        "_is_asking",
        "_is_over",
        "_number",
        "_process",
        "_relay",
        "_steps",
        "_stranger",
        "_timer",
        "_waits",
        "_was_taken",
    )

    def __init__(self, process: LoginProcess, number: int, stranger: Stranger) -> None:
        self._process = process
        self._number = number
        self._stranger = stranger
        self._steps: LoginSteps | None = process.make_login(stranger)
        self._client: ClientEnd | None = None
        self._backlog: Backlog | None = None  # left by a former session; comes before all else
        self._input = bytearray()  # plain text that the log-in has not asked for
        self._waits = False  # the log-in wants input
        self._is_asking = False  # an `Authenticate` is on its way
        self._timer: Timer | None = None
        self._relay: Relay | None = None  # from the offer to a session on
        self._was_taken = False
        self._is_over = False

    def start(self, client: socket.socket) -> None:
        """Talk to the client at the other end of a non-blocking socket."""
        try:
            self._client = ClientEnd(self._process.loop, self, client)
        except OSError:
            client.close()
            self._end()
            return
        self._client.read_at_once(_READ_AT_ONCE)
        if self._process.tls_from_start:
            self._start_tls(STALLED_S)
        else:
            self._go_on(None)
        if self._process.is_stopping:  # it was accepted just before
            self.stop()

    # -- the client's side -----------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        if self._relay is not None and self._steps is None:
            self._relay.heard(data)
            return
        self._input += data
        if len(self._input) >= _READ_AT_ONCE and self._client is not None:
            self._client.pause()
        if self._waits and self._input:
            self._go_on(self._take_input())

    def encrypted(self, data: bytes) -> None:
        self._clear_timer()
        self._input += data
        self._go_on(None)

    def failed(self, reason: str | None) -> None:
        if reason is not None:
            log.tls_failed(self._stranger.peer, reason)
        if self._steps is not None:
            self._throw(ClientGone())

    def ended(self) -> None:
        if self._relay is not None and self._steps is None:
            self._relay.client_ended()
        elif self._waits and self._backlog is None:
            self._go_on(b"")

    def drained(self) -> None:
        if self._relay is not None and self._steps is None:
            self._relay.client_drained()
        elif self._steps is not None and self._timer is None and not self._is_asking:
            self._go_on(None)  # it stopped between two steps

    def lost(self) -> None:
        self._client = None
        if self._steps is not None:
            self._throw(ClientGone())
        self._end()

    def _take_input(self) -> bytes:
        """Give what has come, perhaps nothing."""
        if self._backlog is not None:
            if data := self._backlog.take(_READ_AT_ONCE):
                return data
            self._backlog = None
        data = bytes(self._input)
        self._input.clear()
        self._listen()
        return data

    def _listen(self) -> None:
        """Let the client go on talking, unless there is older talk of it."""
        if self._client is not None and self._backlog is None and not self._client.at_end:
            self._client.resume()

    def _start_tls(self, seconds: float) -> None:
        """Let nothing survive that was received before the handshake (RFC 3501 6.2.1)."""
        assert self._process.contexts is not None and self._client is not None
        self._input.clear()
        self._drop_backlog()
        tls = self._process.contexts.stream(self._stranger.local_ip)
        self._stranger.tls = tls
        self._client.start_tls(tls)
        self._set_timer(seconds, self._abort)

    def _drop_backlog(self) -> None:
        if self._backlog is not None:
            self._backlog.close()
            self._backlog = None
            self._listen()

    # -- the log-in ------------------------------------------------------------------------

    def stop(self) -> None:
        """Say goodbye, unless master decides on this client now or a worker says it."""
        if self._client is not None and self._client.is_shaking_hands:
            self._abort()
        elif self._steps is not None and not self._is_asking:
            self._throw(ShuttingDown())

    def _throw(self, failure: BaseException) -> None:
        self._clear_timer()
        self._go_on(None, failure)

    def _go_on(self, answer: Any, failure: BaseException | None = None) -> None:
        """Run the log-in's steps until it waits for something."""
        self._waits = False
        until = time.monotonic() + _TURN_S
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
                if self._client is not None:
                    self._client.write(step)
                if self._client is not None and self._client.is_blocked:
                    self._clear_timer()
                    return
            elif isinstance(step, Receive):
                self._clear_timer()
                if self._backlog is not None and time.monotonic() > until:
                    self._waits = True
                    self._set_timer(step.timeout_s, self._time_out)
                    self._process.loop.soon(self._read_on)
                    return
                answer = self._take_input()
                if answer or self._client is None or self._client.at_end:
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
                    self._drop_relay()
                    self._is_asking = False
                    answer = Answer(Kind.TEMPORARY)
                    continue
                return

    def _read_on(self) -> None:
        """Give a log-in that waits what is there, after others had their turn."""
        if not self._waits:
            return
        data = self._take_input()
        if data or self._client is None or self._client.at_end:
            self._go_on(data)

    def _time_out(self) -> None:
        if self._waits:
            self._go_on(Wake.TIMEOUT)

    def _paused(self) -> None:
        self._timer = None
        self._go_on(None)

    def _offer(self, step: Authenticate | Ask) -> bool:
        """Send credentials and descriptor to master, or a question; from here on nothing is read."""
        assert self._client is not None
        self._client.pause()
        self._is_asking = True
        if isinstance(step, Ask):
            question = (step.service, step.authtype, step.first, step.second)
            return self._process.request(Question(self._number, *question))
        may_return = self._stranger.may_return
        is_relayed = self._client.is_encrypted or may_return  # which brings what was not asked for
        request = LoginRequest(
            self._number,
            step.service,
            step.authtype,
            step.first,
            step.second,
            step.greeting,
            step.unread if is_relayed else step.unread + bytes(self._input),
            step.protocol,
            self._client.is_encrypted,
            may_return,
        )
        if not is_relayed:
            return self._process.request(request, self._client.descriptor)
        self._relay = Relay(self._process.loop, self._client, self._close)
        try:
            session_end = self._relay.offer()
        except OSError as error:  # no descriptor is left
            log.recurring("cannot pass on", "client", error)
            return False
        return self._process.request(request, session_end)

    def answered(self, answer: Answer) -> None:
        """Take master's word on what was offered."""
        if not self._is_asking:
            return
        self._is_asking = False
        if answer.kind is Kind.TAKEN:
            self._let_go()
            return
        self._drop_relay()
        self._listen()
        if self._process.is_stopping:
            self._throw(ShuttingDown())
        else:
            self._go_on(answer)

    def _drop_relay(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    # -- a session has the client ----------------------------------------------------------

    def _let_go(self) -> None:
        self._was_taken = True
        said = bytes(self._input)
        self._input.clear()
        if self._steps is not None:
            self._steps.close()
            self._steps = None
        if self._client is None:
            return
        if self._relay is None:
            self._client.abort()  # closes our descriptor; the worker has its own
        else:
            backlog, self._backlog = self._backlog, None
            self._relay.start(backlog, said, may_return=self._stranger.may_return)

    def session_ended(self) -> None:
        """Close once the client is told all that its session said."""
        self._was_taken = False  # its place is ours again, to be given back when it ends
        if self._relay is not None:
            self._relay.session_ended()

    def take_back(self, unread: bytes) -> None:
        """Have the client log in anew, whose session has left it.

        Args:
            unread: what the session had read and not used.
        """
        self._was_taken = False
        if self._relay is None or not self._relay.take_back(unread, self._log_in_anew):
            log.warn("a session returned what is not its client's")
            self._abort()

    def _log_in_anew(self, backlog: Backlog) -> None:
        self._relay = None
        self._backlog = backlog
        self._stranger.has_returned = True
        self._steps = self._process.make_login(self._stranger)
        if self._client is not None:
            self._client.read_at_once(_READ_AT_ONCE)
        self._go_on(None)
        if self._process.is_stopping:
            self.stop()

    # -- the end ---------------------------------------------------------------------------

    def _close(self) -> None:
        self._steps = None
        self._clear_timer()
        if self._client is None:
            self._end()
        else:
            self._client.close()

    def _abort(self) -> None:
        if self._steps is not None:
            self._throw(ClientGone())
        if self._client is None:
            self._end()
        else:
            self._client.abort()

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._clear_timer()
        self._drop_relay()
        if self._backlog is not None:
            self._backlog.close()
        self._process.ended(self._number, was_taken=self._was_taken)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._clear_timer()
        self._timer = self._process.loop.later(seconds, call)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
