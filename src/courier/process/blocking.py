"""The blocking driver: one session on a pair of descriptors, such as standard input and output."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import time

from courier.process.request import (
    ClientGone,
    Receive,
    ShuttingDown,
    Steps,
    Unfinished,
    Wake,
    Work,
)

#: Seconds without progress after which a client that does not read is given up.
_STALLED_S = 60.0
_FLUSH_AT = 65_536
#: Seconds after which a client sees what was said, though the command goes on.
_FLUSH_AFTER_S = 1.0
_PIECE = 65_536


def drive(session: Steps, source: int, sink: int) -> None:
    """Run a session to its end. SIGTERM, SIGINT and SIGHUP end it between two steps."""
    driver = _Driver(source, sink)
    try:
        driver.run(session)
    finally:
        driver.close()


class _Driver:
    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = Sink(sink)
        self._output: list[bytes] = []
        self._pending = 0
        self._flushed = time.monotonic()
        self._stopping = False
        self._signalled, self._signals = socket.socketpair()
        self._signals.setblocking(False)
        self._handlers = {
            number: signal.signal(number, self._stop)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        self._wakeup = signal.set_wakeup_fd(self._signals.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def close(self) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._signalled.close()
        self._signals.close()
        self._sink.close()

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def run(self, session: Steps) -> None:
        """Answer the session's requests until it ends."""
        answer: object = None
        failure: BaseException | None = None
        told = False
        is_between = False  # nothing is thrown in before the first step, or amid a response
        while True:
            if self._stopping and is_between and not told:
                told, failure = True, ShuttingDown()
            try:
                request = session.send(answer) if failure is None else session.throw(failure)
            except StopIteration:
                break
            answer = failure = None
            is_between = not isinstance(request, Unfinished)
            try:
                if isinstance(request, bytes):
                    self._write(request)
                elif isinstance(request, Receive):
                    self._flush()
                    answer = self._receive(request)
                elif isinstance(request, Work):
                    answer = request.call()
            except Exception as error:  # the session's to handle, wherever it came from
                failure = error
        try:
            self._flush()
        except ClientGone:
            pass

    def _write(self, data: bytes) -> None:
        self._output.append(data)
        self._pending += len(data)
        if self._pending >= _FLUSH_AT or time.monotonic() - self._flushed > _FLUSH_AFTER_S:
            self._flush()

    def _flush(self) -> None:
        data, self._output, self._pending = b"".join(self._output), [], 0
        self._flushed = time.monotonic()
        if data:
            self._sink.write(data)

    def _receive(self, request: Receive) -> bytes | Wake:
        """Wait for input; a signal counts as a time-out, and is thrown in before that is seen."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._signalled, select.POLLIN)
        if request.watch is not None:
            poll.register(request.watch.source.fileno(), select.POLLIN)
        deadline = time.monotonic() + request.timeout_s
        while not self._stopping:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000) + 1)
            ready = {descriptor for descriptor, _ in poll.poll(left_ms)}
            if self._source in ready:
                try:
                    return os.read(self._source, _PIECE)
                except OSError:  # however the connection broke: it has ended
                    return b""
            watch = request.watch
            if watch and watch.source.fileno() in ready and watch in watch.source.collect():
                return Wake.CHANGED
            if time.monotonic() >= deadline:
                break
        return Wake.TIMEOUT


class Sink:
    """The writing end. Waits for room at most `_STALLED_S`, whatever kind of file it is."""

    def __init__(self, descriptor: int) -> None:
        self._socket: socket.socket | None = None
        self._own = -1
        self._piece: int | None = None
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # An open file description of our own: O_NONBLOCK here is nobody else's business.
            try:
                self._own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
            except PermissionError:  # another user's, as behind su: write what surely fits
                self._own = os.dup(descriptor)
                self._piece = select.PIPE_BUF
        else:  # a file: its position is shared, and it never makes anybody wait
            self._own = os.dup(descriptor)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._own)

    def write(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            ClientGone: it is closed, or made no progress for `_STALLED_S`.
        """
        rest = memoryview(data)
        while rest:
            if self._piece is not None:
                self._wait()
            try:
                rest = rest[self._some(rest) :]
            except BlockingIOError:
                self._wait()
            except OSError as error:
                raise ClientGone from error

    def _some(self, data: memoryview) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        return os.write(self._own, data[: self._piece])

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._socket.fileno() if self._socket else self._own, select.POLLOUT)
        if not poll.poll(int(_STALLED_S * 1000)):
            raise ClientGone
