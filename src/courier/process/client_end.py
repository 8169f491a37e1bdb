"""The client's end of a login process's connection: octets as the client means them, with TLS or without."""

from __future__ import annotations

import socket
from typing import Protocol

from courier.net.tls import TlsStream
from courier.process.loop import Loop, Timer
from courier.process.stream import Stream

#: Seconds without progress in writing after which a client is given up.
STALLED_S = 60.0
#: Octets that may wait to be sent before the client counts as one that does not read.
HIGH_WATER = 65_536


class Owner(Protocol):
    """Whose client it is."""

    def heard(self, data: bytes) -> None:
        """Take what the client says, in plain text; perhaps nothing."""

    def encrypted(self, data: bytes) -> None:
        """Know that the handshake is complete; ``data`` came with its last part."""

    def failed(self, reason: str | None) -> None:
        """Know that TLS has failed, or that the client went away during the handshake (no reason)."""

    def ended(self) -> None:
        """Know that the client says no more; it may still listen."""

    def drained(self) -> None:
        """Know that a client that did not read reads again."""

    def lost(self) -> None:
        """Know, once and last, that the connection is closed."""


class ClientEnd:
    """Reads and writes a client's non-blocking socket, which it closes in the end."""

    __slots__ = (
        "_is_starting_tls",
        "_loop",
        "_owner",
        "_stalled",
        "_stream",
        "_tls",
        "_unsent",
        "at_end",
    )

    def __init__(self, loop: Loop, owner: Owner, client: socket.socket) -> None:
        """Begin to read. Raises OSError if the socket is unusable; it stays the caller's."""
        self._loop = loop
        self._owner = owner
        self._stream: Stream | None = Stream(loop, self, client, HIGH_WATER)
        self._tls: TlsStream | None = None
        self._is_starting_tls = False
        self._stalled: Timer | None = None
        self._unsent = 0  # octets, when progress was looked for last
        self.at_end = False  # the client says no more

    @property
    def is_encrypted(self) -> bool:
        return self._tls is not None

    @property
    def is_shaking_hands(self) -> bool:
        """Whether TLS has begun, and nothing can be said yet."""
        return self._tls is not None and not self._tls.is_established

    @property
    def is_blocked(self) -> bool:
        """Whether the client does not read."""
        return self._stream is not None and self._stream.is_blocked

    @property
    def descriptor(self) -> int:
        """The client's own, for whoever is to have a copy."""
        assert self._stream is not None
        return self._stream.socket.fileno()

    # -- reading ---------------------------------------------------------------------------

    def read_at_once(self, size: int) -> None:
        """Say how many octets are read in one go."""
        if self._stream is not None:
            self._stream.read_at_once = size

    def pause(self) -> None:
        """Read nothing for now."""
        if self._stream is not None and not self._stream.is_closing:
            self._stream.pause()

    def resume(self) -> None:
        """Read on."""
        if self._stream is not None and not self._stream.is_closing:
            self._stream.resume()

    def received(self, data: bytes) -> None:
        if self._tls is None:
            self._owner.heard(data)
            return
        assert self._stream is not None
        plain = self._tls.feed(data)
        self._stream.write(self._tls.pending_output())
        if self._tls.failure is not None:
            self._owner.failed(self._tls.failure)
            if self._stream is not None:
                self._stream.close()  # once the alert is written
        elif self._is_starting_tls and self._tls.is_established:
            self._is_starting_tls = False
            self._owner.encrypted(plain)
            plain = b""
        self._owner.heard(plain)
        if self._tls.is_closed_by_peer:
            self.ended()

    def ended(self) -> None:
        if self.at_end:
            return
        self.at_end = True
        if self._tls is not None:
            self._tls.feed_eof()
            if self._is_starting_tls:
                self._owner.failed(None)
                return
        self._owner.ended()

    # -- writing ---------------------------------------------------------------------------

    def start_tls(self, tls: TlsStream) -> None:
        """Take the next octets for the client's part of a handshake."""
        self._tls = tls
        self._is_starting_tls = True

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
        if self._stream.is_blocked and self._stalled is None:
            self._watch_progress()

    def drained(self) -> None:
        if self._stream is None or self._stream.is_closing:
            return  # the rest has to be taken, too
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._owner.drained()

    def _watch_progress(self) -> None:
        """Give a client up that takes nothing of what is to be written."""
        if self._stream is not None:
            self._unsent = self._stream.unsent
            self._stalled = self._loop.later(STALLED_S, self._give_up)

    def _give_up(self) -> None:
        if self._stream is None:
            return
        if self._stream.unsent < self._unsent:
            self._watch_progress()
        else:
            self.abort()

    # -- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Close once all is written; with TLS, say so. `Owner.lost` may be called from here."""
        if self._stream is None:
            return
        if self._tls is not None and not self._stream.is_closing:
            self._tls.close()
            self._stream.write(self._tls.pending_output())
        self._stream.close()
        if self._stream is not None and self._stream.unsent and self._stalled is None:
            self._watch_progress()

    def abort(self) -> None:
        """Close at once."""
        if self._stream is not None:
            self._stream.abort()

    def lost(self) -> None:
        self.at_end = True
        self._stream = None
        if self._stalled is not None:
            self._stalled.cancel()
        self._owner.lost()
