"""couriertls at work: octets both ways, encrypted on one side and plain on the other."""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable

from classic.tls_end import TlsEnd

_PIECE = 32_768
#: Octets that may wait to be written in one direction; then no more are read for it.
_HIGH_WATER = 65_536
#: Seconds for the handshake, and for the end: to write what is left when the plain side has ended.
_HANDSHAKE_S = 60.0
_END_S = 10.0
#: How often to look whether the program has ended, if something that it left behind is still there.
_LOOK_MS = 10_000


class Failed(Exception):
    """The handshake failed; the text is for the log."""


def shake_hands(end: TlsEnd, remote: socket.socket) -> bytes:
    """Complete the handshake; return what the other end has said by then.

    Raises:
        Failed: it can't be completed, or isn't in time.
        OSError: the connection broke.
    """
    give_up = time.monotonic() + _HANDSHAKE_S
    said = b""
    while True:
        remote.settimeout(max(0.01, give_up - time.monotonic()))
        try:
            remote.sendall(end.pending_output())
            if end.failure is not None:
                raise Failed(end.failure)
            if end.is_established:
                return said
            data = remote.recv(_PIECE)
        except TimeoutError:
            raise Failed("the TLS handshake took too long") from None
        if data:
            said += end.feed(data)
        else:
            end.feed_eof()


class Passage:
    """The connection, the plain side's two descriptors, and what waits to be written to each."""

    def __init__(self, end: TlsEnd, remote: socket.socket, source: int, sink: int) -> None:
        self._end = end
        self._remote = remote
        self._source, self._sink = source, sink
        # What may be written where writing waits: a pipe that is ready has room for that much.
        self._piece = select.PIPE_BUF if os.get_blocking(sink) else _PIECE
        self._to_remote, self._to_local = bytearray(), bytearray()
        self._remote_ended = self._local_ended = False
        self._give_up: float | None = None
        #: Whether the other end went away without a word.
        self.is_truncated = False

    def run(self, said: bytes, *, waits: bool, has_ended: Callable[[], bool]) -> str | None:
        """Copy until both sides have ended.

        Args:
            said: what the other end has said in its handshake.
            waits: at the end of the plain side, wait a while for what the other one has to say.
            has_ended: whether the program at the plain side has; then it gets no more time than the end.

        Returns: what broke TLS, for the log.
        """
        self._remote.setblocking(False)
        self._to_local += said
        while True:
            if self._is_over():
                return self._end.failure
            self._turn(waits)
            if self._give_up is None and has_ended():
                self._give_up = time.monotonic() + _END_S

    def _is_over(self) -> bool:
        if self._give_up is not None and time.monotonic() >= self._give_up:
            return True
        if self._to_remote and not self._end.failure:
            return False
        if self._local_ended:
            return self._remote_ended or self._give_up is None
        return bool(self._end.failure) and not self._to_local

    def _turn(self, waits: bool) -> None:
        poll = select.poll()
        remote = self._remote.fileno()
        wanted: dict[int, int] = {}
        if not self._remote_ended and len(self._to_local) < _HIGH_WATER:
            wanted[remote] = select.POLLIN
        if self._to_remote:
            wanted[remote] = wanted.get(remote, 0) | select.POLLOUT
        if not self._local_ended and len(self._to_remote) < _HIGH_WATER:
            wanted[self._source] = select.POLLIN
        if self._to_local:
            wanted[self._sink] = wanted.get(self._sink, 0) | select.POLLOUT
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        ready = dict(poll.poll(_LOOK_MS if self._give_up is None else 1000))
        ended = select.POLLIN | select.POLLHUP | select.POLLERR
        if ready.get(remote, 0) & ended and wanted.get(remote, 0) & select.POLLIN:
            self._from_remote()
        if ready.get(self._source, 0) & ended and wanted.get(self._source, 0) & select.POLLIN:
            self._from_local(waits)
        if self._to_remote:
            self._write_remote()
        if self._to_local and ready.get(self._sink, 0):
            self._write_local()

    def _from_remote(self) -> None:
        try:
            data = self._remote.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._to_local += self._end.feed(data)
            self._to_remote += self._end.pending_output()
        else:
            self._end.feed_eof()
            self.is_truncated = not self._end.is_closed_by_peer
        if not data or self._end.is_closed_by_peer or self._end.failure:
            self._remote_ended = True
            if not self._to_local:
                self._shut_local()

    def _from_local(self, waits: bool) -> None:
        try:
            data = os.read(self._source, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._end.write(data)
        else:
            self._local_ended = True
            if waits and not self._remote_ended:
                self._give_up = time.monotonic() + _END_S
            else:
                self._end.close()
        self._to_remote += self._end.pending_output()

    def _write_remote(self) -> None:
        try:
            del self._to_remote[: self._remote.send(self._to_remote)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more
            self._to_remote.clear()
            self._remote_ended = self._local_ended = True

    def _write_local(self) -> None:
        try:
            del self._to_local[: os.write(self._sink, self._to_local[: self._piece])]
        except BlockingIOError:
            return
        except OSError:  # the plain side reads no more; it may have something to say still
            self._to_local.clear()
        if not self._to_local and self._remote_ended:
            self._shut_local()

    def _shut_local(self) -> None:
        """Have the plain side see the end."""
        if stat.S_ISSOCK(os.fstat(self._sink).st_mode):
            with socket.socket(fileno=os.dup(self._sink)) as one:
                try:
                    one.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
        else:
            self._local_ended = True
