"""What a client had said to a session that has left it: for its next log-in, and the session after that.

In the client's order: what the session had read and not used; what the login process had written to it
and it never read, which is still in the socket pair; what the login process could not write. The
second part is read piece by piece as somebody wants it, so that no more of it is kept than of anybody's.
"""

from __future__ import annotations

import socket
from collections import deque

#: Octets that are kept in memory for a client: what the login process could not write (96 KiB) and what
#: came back (32 KiB), each of two sessions, and as much again. Only a session that makes them up has more.
MOST = 524_288


class Backlog:
    """Octets that come before those that the client sends now."""

    def __init__(
        self, unread: bytes, session_end: socket.socket, unsent: bytes, before: Backlog | None
    ) -> None:
        """Take what a session gave back, or never read.

        Args:
            session_end: the other copy of the end of the pair that it had, closed here.
            before: what the session was still to be given of another one's. All of it together is
                what was there when the first session left: until it is used up, nothing comes in.
        """
        parts: list[bytes | socket.socket] = [unread, session_end, unsent]
        self._parts = deque(parts)
        if before is not None:
            self._parts += before._parts

    @property
    def size(self) -> int:
        """Octets in memory. What is in a socket pair is not: it has the room that the pair has."""
        return sum(len(part) for part in self._parts if isinstance(part, bytes))

    def take(self, size: int) -> bytes:
        """Give the next octets, ``size`` at most; none at the end."""
        while self._parts:
            part = self._parts[0]
            if isinstance(part, socket.socket):
                if data := _receive(part, size):
                    return data
                part.close()
            elif part:
                self._parts[0] = part[size:]
                return part[:size]
            self._parts.popleft()
        return b""

    def close(self) -> None:
        """Forget it all."""
        for part in self._parts:
            if isinstance(part, socket.socket):
                part.close()
        self._parts.clear()


def _receive(session_end: socket.socket, size: int) -> bytes:
    """Read what there is. Whether this waits is not left to the socket: a session shares its flags."""
    try:
        return session_end.recv(size, socket.MSG_DONTWAIT)
    except OSError:  # nothing is left: BlockingIOError if the session keeps a copy of the other end
        return b""
