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

from courier.process.backlog import MOST, Backlog, identity
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
        self._theirs = (0, 0)
        self._inner: Stream | None = None
        self._backlog: Backlog | None = None  # comes before what the client says now
        self._left = 0  # octets that a session had said when it left
        self._resume: Callable[[], None] | None = None  # to be called when they are passed on

    def offer(self) -> socket.socket:
        """Give the session's end of a new pair, for the caller to send and close. Raises OSError."""
        self._ours, session_end = socket.socketpair()
        self._theirs = identity(session_end.fileno())
        return session_end

    def start(self, backlog: Backlog | None, said: bytes) -> None:
        """Pass on, to a session that has the other end: first what has come already, one or the other."""
        assert self._ours is not None
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
        if self._ours is not None:
            self._ours.close()
        if self._backlog is not None:
            self._backlog.close()
        inner, self._inner = self._inner, None
        if inner is None:
            return
        if self._resume is None:
            inner.close()
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

    def take_back(self, unread: bytes, descriptor: int, resume: Callable[[Backlog], None]) -> bool:
        """Go on without the session, which has given back its end of the pair: ``descriptor``.

        Args:
            resume: called when the client is told all that the session said, with what that has
                left unread. The pair is closed then, but for what is read of it.

        Returns: whether it is that end, with no more than a client can have sent; if not, it stays the
            caller's.
        """
        if self._inner is None or self._resume is not None:
            return False
        kept = 0 if self._backlog is None else self._backlog.size
        if not self._is_theirs(descriptor) or len(unread) + kept > MOST:
            return False
        self._client.pause()
        session_end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
        unsent = self._inner.detach()
        backlog = self._backlog = Backlog(unread, session_end, unsent, self._backlog)
        self._resume = lambda: resume(backlog)
        self._left = _readable(self._inner.socket)
        self._pass_on_rest()
        return True

    def _is_theirs(self, descriptor: int) -> bool:
        try:
            return identity(descriptor) == self._theirs
        except OSError:
            return False

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
