"""Notices of how far a long command is: ``INPROGRESS`` (RFC 9585)."""

from __future__ import annotations

import time

from courier.process.request import Unfinished, Work
from imapd.request import Progress

#: Seconds of silence after which a client is told that it is not forgotten.
_EVERY_S = 10.0


class Notices:
    """When a client is to be told, and what."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._tag = b"NIL"
        self._heard = 0.0  # by time.monotonic: when the client has heard something last
        self._is_amid = False  # a response goes on: nothing can stand in it

    def begin(self, tag: bytes) -> None:
        """Begin with a command."""
        # In brackets some clients take the first one that closes for the last.
        self._tag = b"NIL" if b"]" in tag or tag == b"*" else b'"%b"' % tag
        self._is_amid = False
        self.waited()

    def waited(self) -> None:
        """Note that the command has waited for the client, and not the other way round."""
        self._heard = time.monotonic()

    def sent(self, data: bytes) -> None:
        """Note what the command has said."""
        if data:
            self._is_amid = isinstance(data, Unfinished)
            self._heard = time.monotonic()

    def due(self, step: Work | Progress) -> bytes:
        """Give what has to be said before this step; mostly nothing."""
        if time.monotonic() - self._heard < _EVERY_S or self._is_amid or not self._wanted:
            return b""
        self.waited()
        state = b"NIL NIL"
        if isinstance(step, Progress):
            # RFC 9585 3: what is done is less than the goal, or the command would have ended.
            state = b"%d %d" % (min(step.done, step.total - 1), step.total)
        return b"* OK [INPROGRESS (%b %b)] Still working.\r\n" % (self._tag, state)
