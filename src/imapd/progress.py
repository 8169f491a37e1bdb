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
        self._done = self._goal = 0  # what this command's client was told; 0: nothing yet

    def begin(self, tag: bytes) -> None:
        """Begin with a command."""
        # In brackets some clients take the first one that closes for the last.
        self._tag = b"NIL" if b"]" in tag or tag == b"*" else b'"%b"' % tag
        self._is_amid = False
        self._done = self._goal = 0
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
        return b"* OK [INPROGRESS (%b %b)] Still working.\r\n" % (self._tag, self._state(step))

    def _state(self, step: Work | Progress) -> bytes:
        """Write what is done, and the goal, which stays the same (RFC 9585 4): not of other work of a command."""
        if not isinstance(step, Progress) or self._goal not in (0, step.total):
            return b"NIL NIL"
        self._goal = step.total
        # RFC 9585 4: less than the goal, or the command would have ended; and never less than before.
        self._done = max(self._done, min(step.done, step.total - 1))
        return b"%d %d" % (self._done, self._goal)
