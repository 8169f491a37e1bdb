"""A connection to another host on a client's behalf: looked up, made, encrypted, logged in."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol

from courier.net.tls_client import TlsClient
from courier.process.far_login import NEXT_LINE, Approach, FarEndFailed
from courier.process.loop import Loop, Timer
from courier.process.stream import Stream
from courier.process.threads import Threads

#: Seconds to look up a name, to connect, and for each line of the log-in.
_WAIT_S = 30.0
#: Octets that may wait to be sent before a far end is ``is_blocked``.
_HIGH_WATER = 65_536
#: Octets that a host may send, unasked for, in its log-in.
_MAX_UNREAD = 65_536

_Place = tuple[socket.AddressFamily, Any]  # Any: an address as that family has it


class Owner(Protocol):
    """Whose far end it is."""

    def reached(self, said: bytes) -> None:
        """Know that the log-in is accepted; ``said`` is for the client."""

    def failed(self, why: str) -> None:
        """Know, instead and last, that it is not; for the log."""

    def from_far(self, data: bytes) -> None:
        """Take what the host sends, once it is reached."""

    def far_drained(self) -> None:
        """Know that it takes octets again."""

    def far_ended(self) -> None:
        """Know, last, that it has closed the connection."""


class FarEnd:
    """One host, from the look at its name to the end of the connection."""

    def __init__(
        self,
        loop: Loop,
        threads: Threads,
        owner: Owner,
        host: str,
        approach: Approach,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Begin; ``tls``, where it is to be encrypted, says whose certificates are trusted."""
        self._loop = loop
        self._owner = owner
        self._host = host
        self._approach = approach
        self._context = tls
        self._places: Iterator[_Place] = iter(())
        self._why_not = "no address"  # the last one could not be connected to
        self._connecting: socket.socket | None = None
        self._stream: Stream | None = None
        self._tls: TlsClient | None = None
        self._unread = bytearray()  # what the log-in has not asked for
        self._wants_line = False
        self._is_reached = False
        self._is_over = False
        self._timer: Timer | None = None
        self._wait()
        threads.call(partial(_look_up, host, approach.port), self._looked_up)

    def abort(self) -> None:
        """Close; the owner hears no more."""
        if self._is_over:
            return
        self._is_over = True
        self._clear_timer()
        self._approach.login.close()
        if self._connecting is not None:
            self._loop.unwatch(self._connecting.fileno())
            self._connecting.close()
        if self._stream is not None:
            if self._tls is not None:
                self._tls.close()
                self._stream.write(self._tls.pending_output())
            self._stream.abort()

    def _fail(self, why: str) -> None:
        if not self._is_over:
            self.abort()
            self._owner.failed(why)

    # -- the connection --------------------------------------------------------------------

    def _looked_up(self, found: object, failure: BaseException | None) -> None:
        if self._is_over:
            return
        if not isinstance(found, list):
            self._fail(f"Cannot look up {self._host}: {failure}")
            return
        self._places = iter(found)
        self._next_place()

    def _next_place(self) -> None:
        """Connect to the host's next address."""
        place = next(self._places, None)
        if self._is_over:
            return
        if place is None:
            self._fail(f"Cannot connect to {self._host}: {self._why_not}")
            return
        try:
            connecting = self._connecting = socket.socket(place[0], socket.SOCK_STREAM)
            connecting.setblocking(False)
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = connecting.connect_ex(place[1])
        except OSError as error:
            self._unusable(error)
            return
        self._wait()
        if code in (0, errno.EINPROGRESS):
            self._loop.watch(connecting.fileno(), select.EPOLLOUT, self._connected)
        else:
            self._unusable(OSError(code, os.strerror(code)))

    def _unusable(self, error: OSError) -> None:
        """Try another address, after others had their turn: there may be many."""
        if self._connecting is not None:
            self._connecting.close()
            self._connecting = None
        self._why_not = error.strerror or str(error)
        self._loop.soon(self._next_place)

    def _connected(self, events: int) -> None:
        connecting = self._connecting
        if connecting is None:
            return
        self._loop.unwatch(connecting.fileno())
        code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._unusable(OSError(code, os.strerror(code)))
            return
        self._connecting = None
        self._stream = Stream(self._loop, self, connecting, _HIGH_WATER)
        if self._approach.encrypted == "from start":
            self._encrypt()
        else:
            self._go_on(None)

    # -- the log-in ------------------------------------------------------------------------

    def _go_on(self, answer: bytes | None) -> None:
        """Run the log-in until it waits for something."""
        while not self._is_over:
            try:
                step = self._approach.login.send(answer)
            except StopIteration as stop:
                self._succeed(stop.value)
                return
            except FarEndFailed as failed:
                self._fail(str(failed))
                return
            answer = None
            if isinstance(step, bytes):
                self.write(step)
            elif step is NEXT_LINE:
                self._wait()
                answer = self._line()
                if answer is None:
                    self._wants_line = True
                    return
            elif self._unread:  # said before its certificate was seen (RFC 9051 6.2.1)
                self._fail(f"Plain text behind STARTTLS from {self._host}")
            else:
                self._encrypt()
                return

    def _line(self) -> bytes | None:
        line, end, rest = self._unread.partition(b"\n")
        if not end:
            return None
        self._unread = rest
        return bytes(line.removesuffix(b"\r"))

    def _encrypt(self) -> None:
        self._wait()
        assert self._context is not None
        try:
            self._tls = TlsClient(self._context, self._host)
        except ValueError as error:  # no name that a certificate can have
            self._fail(f"TLS with {self._host}: {error}")
            return
        self._flush()

    def _succeed(self, said: bytes) -> None:
        self._clear_timer()
        self._is_reached = True
        rest, self._unread = bytes(self._unread), bytearray()
        self._owner.reached(said + rest)

    # -- the relay -------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """Whether the host does not take what is sent."""
        return self._stream is not None and self._stream.is_blocked

    def write(self, data: bytes) -> None:
        if self._stream is None or self._is_over or not data:
            return
        if self._tls is None:
            self._stream.write(data)
        else:
            self._tls.write(data)
            self._flush()

    def write_eof(self) -> None:
        """Let the host see that the client sends no more."""
        if self._stream is None or self._is_over:
            return
        if self._tls is not None:
            self._tls.close()
            self._flush()
        self._stream.write_eof()

    def pause(self) -> None:
        if self._stream is not None and not self._stream.is_closing:
            self._stream.pause()

    def resume(self) -> None:
        if self._stream is not None and not self._stream.is_closing:
            self._stream.resume()

    def _flush(self) -> None:
        if self._tls is not None and self._stream is not None:
            self._stream.write(self._tls.pending_output())

    # -- the stream's owner ----------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._tls is None:
            self._hear(data)
            return
        was_established = self._tls.is_established
        data = self._tls.feed(data)
        self._flush()
        if self._tls.is_established and not was_established:
            self._unread += data
            self._go_on(None)
        else:
            self._hear(data)
        if self._tls.failure is not None:
            self._break(f"TLS with {self._host}: {self._tls.failure}")
        elif self._tls.is_closed_by_peer:
            self.ended()

    def _hear(self, data: bytes) -> None:
        if self._is_over or not data:
            return
        if self._is_reached:
            self._owner.from_far(data)
            return
        self._unread += data
        if self._wants_line and (line := self._line()) is not None:
            self._wants_line = False
            self._go_on(line)
        elif len(self._unread) > _MAX_UNREAD:
            self._fail(f"{self._host} sends too much before it accepts a log-in")

    def ended(self) -> None:
        self._break(f"{self._host} closed the connection")

    def lost(self) -> None:
        self._stream = None
        self.ended()

    def drained(self) -> None:
        if self._is_reached and not self._is_over:
            self._owner.far_drained()

    def _break(self, why: str) -> None:
        if self._is_over:
            return
        if not self._is_reached:
            self._fail(why)
            return
        self.abort()
        self._owner.far_ended()

    def _wait(self) -> None:
        """Allow so much time for what comes next."""
        self._clear_timer()
        self._timer = self._loop.later(_WAIT_S, lambda: self._fail(f"{self._host} does not answer"))

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _look_up(host: str, port: int) -> list[_Place]:
    """Give the addresses of a host. Raises OSError, or UnicodeError for what can't be a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]
