"""The blocking driver of one log-in, on a pair of descriptors: what imaplogin and courierpop3login run.

Nothing is read beyond a line's end, so that what follows the log-in is the session's, and what
follows STARTTLS is part of the handshake.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import time
from collections.abc import Callable

from courier.process.blocking import Sink
from courier.process.login_request import (
    Answer,
    Ask,
    Authenticate,
    LoginSteps,
    Pause,
    StartTls,
)
from courier.process.request import ClientGone, Receive, ShuttingDown, Wake

_PIECE = 4096
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Driver:
    """Runs a log-in to its end.

    ``ask`` answers what goes to authdaemond; it doesn't return for a client that is let in.
    ``start_tls`` encrypts the connection in some seconds, or raises `ClientGone`.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        ask: Callable[[Ask | Authenticate], Answer],
        start_tls: Callable[[float], None],
    ) -> None:
        self._source = source
        self._sink = Sink(sink)
        self._sink_number = sink
        self._ask = ask
        self._start_tls = start_tls
        self._stopping = False
        self._signalled, self._signals = socket.socketpair()
        self._signals.setblocking(False)

    def run(self, login: LoginSteps) -> None:
        """SIGTERM and its like end it between two steps."""
        handlers = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        try:
            self._drive(login)
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _drive(self, login: LoginSteps) -> None:
        answer: object = None
        failure: BaseException | None = None
        told = False
        while True:
            if self._stopping and not told and answer is not None:
                told, failure = True, ShuttingDown()
            try:
                request = login.send(answer) if failure is None else login.throw(failure)
            except (StopIteration, ClientGone):
                return
            answer = failure = None
            try:
                answer = self._fulfil(request)
            except Exception as error:  # the log-in's to handle, wherever it came from
                failure = error

    def _fulfil(self, request: object) -> object:
        match request:
            case bytes():
                self._sink.write(request)
            case Receive():
                return self._receive(request.timeout_s)
            case Pause():
                self._wait(request.seconds)
            case StartTls():
                self._start_tls(request.seconds)
                self._sink.close()
                self._sink = Sink(self._sink_number)
            case Ask() | Authenticate():
                return self._ask(request)
        return None

    def _wait(self, seconds: float, *others: int) -> bool:
        """Wait for input from one of some descriptors, or for a signal; tell whether there is input."""
        poll = select.poll()
        for descriptor in (self._signalled.fileno(), *others):
            poll.register(descriptor, select.POLLIN)
        give_up = time.monotonic() + seconds
        while not self._stopping:
            left_s = give_up - time.monotonic()
            if left_s <= 0:
                return False
            if any(descriptor in others for descriptor, _ in poll.poll(left_s * 1000)):
                return True
        return False

    def _receive(self, seconds: float) -> bytes | Wake:
        if not self._wait(seconds, self._source):
            return Wake.TIMEOUT
        try:
            if not stat.S_ISSOCK(os.fstat(self._source).st_mode):
                return os.read(self._source, 1)  # a pipe can't be looked into
            with socket.socket(fileno=os.dup(self._source)) as connection:
                seen = connection.recv(_PIECE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                end = seen.find(b"\n") + 1
                return connection.recv(end or len(seen), socket.MSG_DONTWAIT) if seen else b""
        except BlockingIOError:
            return Wake.TIMEOUT if seconds <= 0 else self._receive(seconds)
        except OSError:
            return b""  # however the connection broke: it has ended
