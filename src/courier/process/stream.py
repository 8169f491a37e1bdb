"""A connection's socket in a `Loop`: what comes is passed on, what is written waits for its turn."""

from __future__ import annotations

import select
import socket
from typing import Protocol

from courier.process.loop import Loop

#: Octets that are read at once, by all streams of a process into the same place.
READ_AT_ONCE = 65_536
_arriving = memoryview(bytearray(READ_AT_ONCE))


class Owner(Protocol):
    """Whose stream it is."""

    def received(self, data: bytes) -> None:
        """Take octets of the other end."""

    def ended(self) -> None:
        """Know that the other end sends no more; it may still read."""

    def drained(self) -> None:
        """Know that a stream that was blocked takes output again."""

    def lost(self) -> None:
        """Know, once and last, that the stream is done with its socket, and has closed it."""


class Stream:
    """Reads and writes a non-blocking stream socket, which it closes in the end."""

    __slots__ = (
        "_at_end",
        "_ends_output",
        "_events",
        "_high_water",
        "_is_closing",
        "_is_deaf",
        "_is_lost",
        "_is_paused",
        "_loop",
        "_owner",
        "_unsent",
        "is_blocked",
        "read_at_once",
        "reads_to_end",
        "socket",
    )

    def __init__(self, loop: Loop, owner: Owner, connected: socket.socket, high_water: int) -> None:
        """Begin to read.

        Args:
            high_water: octets that may wait to be sent before the stream is ``is_blocked``.

        Raises:
            OSError: the socket can't be watched; it stays the caller's.
        """
        self._loop = loop
        self._owner = owner
        self.socket = connected
        self._high_water = high_water
        self.read_at_once = READ_AT_ONCE
        #: Whether what the other end has said before it went is read, though it takes no more.
        self.reads_to_end = False
        self._unsent = bytearray()
        self.is_blocked = False
        self._is_paused = False
        self._at_end = False
        self._is_closing = False
        self._is_deaf = False  # the other end takes no more
        self._is_lost = False
        self._ends_output = False
        self._events = select.EPOLLIN
        loop.watch(connected.fileno(), select.EPOLLIN, self._on_ready)

    @property
    def unsent(self) -> int:
        """Octets that wait to be sent."""
        return len(self._unsent)

    @property
    def is_closing(self) -> bool:
        return self._is_closing

    # -- reading ---------------------------------------------------------------------------

    def pause(self) -> None:
        """Read nothing for now."""
        self._is_paused = True
        self._watch()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._watch()

    def _on_ready(self, events: int) -> None:
        if events & ~select.EPOLLOUT:  # readable, closed there, or broken
            if self._events & select.EPOLLIN:
                self._read()
            else:
                events |= select.EPOLLOUT  # writing tells what is wrong
        if events & select.EPOLLOUT and self._unsent:
            self._send()

    def _read(self) -> None:
        try:
            size = self.socket.recv_into(_arriving, self.read_at_once)
        except BlockingIOError:
            return
        except OSError:
            self._break()
            return
        if size:
            self._owner.received(bytes(_arriving[:size]))
        else:
            self._at_end = True
            self._watch()
            self._owner.ended()

    # -- writing ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send octets, as far as they go now and the rest later; nothing once it is closing."""
        if self._is_closing or self._is_deaf or not data:
            return
        if not self._unsent:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._cannot_send()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._unsent += data
        if len(self._unsent) > self._high_water:
            self.is_blocked = True
        self._watch()

    def write_eof(self) -> None:
        """Let the other end see the end of what is written; reading goes on."""
        self._ends_output = True
        if not self._unsent:
            self._shut_down()

    def _send(self) -> None:
        try:
            sent = self.socket.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self._cannot_send()
            return
        del self._unsent[:sent]
        if not self._unsent:
            if self._is_closing:
                self._lose()
                return
            if self._ends_output:
                self._shut_down()
            self._watch()
        if self.is_blocked and len(self._unsent) <= self._high_water // 4:
            self.is_blocked = False
            self._owner.drained()

    def _cannot_send(self) -> None:
        if self.reads_to_end and not (self._at_end or self._is_closing):
            self._is_deaf = True  # reading tells when it has gone
            self._unsent.clear()
            self._watch()
        else:
            self._break()

    def _shut_down(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone, which reading tells

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more, and close once all is sent; `Owner.lost` may be called from here."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._unsent:
            self._watch()
        else:
            self._lose()

    def abort(self) -> None:
        """Close at once."""
        self._is_closing = True
        self._lose()

    def detach(self) -> bytes:
        """Leave the socket to the caller, open, and give what was not sent; no more is told."""
        unsent = bytes(self._unsent)
        self._unsent.clear()
        self._is_closing = self._is_lost = True
        self._watch()
        return unsent

    def _break(self) -> None:
        """The connection is broken: tell its owner, who may be in the middle of writing, soon."""
        self._is_closing = True
        self._unsent.clear()
        self._watch()
        self._loop.soon(self._lose)

    def _lose(self) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self.is_blocked = False
        self._unsent.clear()
        self._watch()
        self.socket.close()
        self._owner.lost()

    def _watch(self) -> None:
        """Watch for what is wanted. A descriptor of which nothing is wanted would tell, again and
        again, that it was closed there."""
        events = select.EPOLLOUT if self._unsent else 0
        if not (self._is_paused or self._at_end or self._is_closing):
            events |= select.EPOLLIN
        if events == self._events:
            return
        self._events = events
        if events:
            self._loop.watch(self.socket.fileno(), events, self._on_ready)
        else:
            self._loop.unwatch(self.socket.fileno())
