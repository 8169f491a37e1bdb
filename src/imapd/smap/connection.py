"""The client's end of an SMAP session: lines and uploads in, octets out."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from courier.process.request import Receive, Request, Wake
from imapd.connection import INACTIVITY_S, LITERAL_S, Stream
from imapd.request import Idle
from imapd.smap.reader import Reader, Upload


class Connection(Stream):
    """What a session reads from its client, and what it sends there."""

    def __init__(self) -> None:
        super().__init__()
        self.reader: Reader = Reader()

    def line(self) -> Generator[Request, Any, bytes]:
        """Read a command.

        Raises:
            EndOfInput, Farewell: there is no more of them.
        """
        while (line := self._next()) is None:
            yield from self.receive(INACTIVITY_S)
        return line

    def _next(self) -> bytes | None:
        line = self.reader.line()
        if line is not None and self.transcript is not None:
            self.transcript.line(line)
        return line

    def chunk(self, upload: Upload) -> Generator[Request, Any, bytes]:
        """Give the next piece of an upload; empty at its end.

        Raises:
            MalformedUpload: see there.
            EndOfInput, Farewell: it is cut short.
        """
        while (chunk := upload.chunk(self.reader)) is None:
            yield from self.receive(LITERAL_S)
        return chunk

    def idle(self, idle: Idle) -> Generator[Request, Any, bytes | Wake]:
        """Wait for a line, or for what else ends the wait; nothing stands for a part of a line."""
        line = self._next()
        if line is None:
            woken = yield from self.await_input(Receive(idle.timeout_s, idle.watch))
            if woken is not None:
                return woken
            line = self._next()
        return b"" if line is None else line + b"\n"
