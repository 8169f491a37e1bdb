"""The relay: what a client and its session say to each other, while a login process has the client.

So it is where the login process encrypts, and where a session may leave its client (UNAUTHENTICATE). The
session has one end of a socket pair then. When it gives that back, what it said before is passed on
first; what it left unread is for the next log-in (`backlog`).

SECURITY
    A session's process may be hostile. Nothing here waits for it, whatever it does to the socket that it
    shares; what it gives back has to be what it was given; and of what is in the pair then, no more is
    read than what is there at that moment.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable

from courier.process.backlog import MOST, Backlog
from courier.process.client_end import HIGH_WATER, ClientEnd
from courier.process.loop import Loop
from courier.process.stream import Stream

_AT_ONCE = 32_768
_INT = struct.Struct("i")


class Relay:
    """Between a client and the process of its session."""

    __slots__ = (
        "_backlog",
        "_client",
        "_ended",
        "_inner",
        "_left",
        "_loop",
        "_ours",
        "_resume",
        "_theirs",
    )

    def __init__(self, loop: Loop, client: ClientEnd, ended: Callable[[], None]) -> None:
        """Pass nothing on yet. ``ended`` is called when the session closes its end."""
        self._loop = loop
        self._client = client
        self._ended = ended
        self._ours: socket.socket | None = None  # until a session has the other end
        self._theirs: socket.socket | None = None
        self._inner: Stream | None = None
        self._backlog: Backlog | None = None  # comes before what the client says now
        self._left = 0  # octets that a session had said when it left
        self._resume: Callable[[], None] | None = None  # to be called when they are passed on

    def offer(self) -> int:
        """Give the session's end of a new pair, for the caller to send a copy of. Raises OSError."""
        self._ours, self._theirs = socket.socketpair()
        return self._theirs.fileno()

    def start(self, backlog: Backlog | None, said: bytes, *, may_return: bool) -> None:
        """Pass on, to a session that has the other end: first what has come already, one or the other."""
        assert self._ours is not None and self._theirs is not None
        if not may_return:
            self._theirs.close()
        ours, self._ours = self._ours, None
        ours.setblocking(False)
        self._inner = Stream(self._loop, self, ours, HIGH_WATER)
        self._inner.reads_to_end = True  # its BYE, for one
        self._inner.write(said)
        self._backlog = backlog
        self._client.read_at_once(_AT_ONCE)
        self._read_on()

    def close(self) -> None:
        """Close what there is for the session."""
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
        if self._backlog is not None:
            self._backlog.close()
        inner, self._inner = self._inner, None
        if inner is None:
            return
        if self._resume is None:
            inner.abort()  # what is not written yet would wait for a session that need not read
        else:  # it is detached
            self._resume = None
            inner.socket.close()

    # -- the client's side -----------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        if self._inner is None or not data or self._client.at_end:
            return
        self._inner.write(data)
        if self._inner.is_blocked:
            self._client.pause()

    def client_ended(self) -> None:
        """Let the session see it; what it has still to say is passed on."""
        if self._inner is not None and self._backlog is None and self._resume is None:
            self._inner.write_eof()

    def client_drained(self) -> None:
        if self._resume is not None:
            self._pass_on_rest()
        elif self._inner is not None:
            self._inner.resume()

    def _read_on(self) -> None:
        while self._inner is not None and not self._inner.is_blocked:
            if self._backlog is None:
                self._client.resume()
                if self._client.at_end:
                    self._inner.write_eof()
                return
            if data := self._backlog.take(_AT_ONCE):
                self._inner.write(data)
            else:
                self._backlog = None

    # -- the session's side ----------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self._client.write(data)
        if self._client.is_blocked and self._inner is not None:
            self._inner.pause()

    def drained(self) -> None:
        self._read_on()

    def ended(self) -> None:
        self.close()
        self._ended()

    def lost(self) -> None:
        self.ended()

    # -- the session leaves ----------------------------------------------------------------

    def session_ended(self) -> None:
        """End when the client is told all that the session said."""
        if self._inner is not None and self._resume is None:
            self._inner.detach()
            if self._backlog is not None:
                self._backlog.close()
            self._conclude(self._ended)

    def take_back(self, unread: bytes, resume: Callable[[Backlog], None]) -> bool:
        """Go on without the session.

        Args:
            resume: called when the client is told all that the session said, with what that has
                left unread. The pair is closed then, but for what is read of it.

        Returns: whether that is no more than a client can have sent.
        """
        if self._inner is None or self._theirs is None or self._resume is not None:
            return False
        kept = 0 if self._backlog is None else self._backlog.size
        if len(unread) + kept > MOST:
            return False
        session_end, self._theirs = self._theirs, None
        backlog = Backlog(unread, session_end, self._inner.detach(), self._backlog)
        self._backlog = backlog
        self._conclude(lambda: resume(backlog))
        return True

    def _conclude(self, resume: Callable[[], None]) -> None:
        assert self._inner is not None
        self._client.pause()
        self._resume = resume
        self._left = _readable(self._inner.socket)
        self._pass_on_rest()

    def _pass_on_rest(self) -> None:
        assert self._inner is not None and self._resume is not None
        while self._left and not self._client.is_blocked:
            try:
                data = self._inner.socket.recv(min(self._left, _AT_ONCE), socket.MSG_DONTWAIT)
            except OSError:
                data = b""
            self._left = self._left - len(data) if data else 0
            self._client.write(data)
        if self._left:
            return  # until the client reads
        resume, self._backlog = self._resume, None
        self.close()
        resume()


def _readable(connected: socket.socket) -> int:
    """Give the octets that can be read (FIONREAD)."""
    (size,) = _INT.unpack(fcntl.ioctl(connected.fileno(), termios.FIONREAD, _INT.pack(0)))
    return int(size)
