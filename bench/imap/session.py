"""An IMAP session whose commands are timed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from types import TracebackType

from bench import connection
from bench.client import PASSWORD
from bench.connection import Connection, NoAnswer, Sample

_GREETING_S = 60.0
_END_S = 30.0


class Session:
    """One connection, from its greeting on."""

    def __init__(self, made: Connection) -> None:
        self.pid = made.pid
        self._connection = made

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def timed(self, command: str, limit_s: float) -> Sample:
        """Run a command and take its time.

        Raises:
            NoAnswer: the completion is NO or BAD, or there is none.
            TooSlow: it took longer than the limit.
        """
        return self._connection.sample(lambda: self._command(command, limit_s))

    def timed_all(self, commands: Sequence[str], limit_s: float) -> Sample:
        """Run commands, each when the one before was answered, and take the time of all.

        Raises: as `timed`, whose limit is that of each.
        """

        def all_of_them() -> tuple[int, bytes]:
            octets, end = 0, b""
            for command in commands:
                size, end = self._command(command, limit_s)
                octets += size
            return octets, end

        return self._connection.sample(all_of_them)

    def append(self, mailbox: str, messages: Sequence[bytes], limit_s: float) -> Sample:
        """Append messages one after the other, each after the server asked for it."""
        deadline = time.monotonic() + limit_s

        def all_of_them() -> tuple[int, bytes]:
            octets, end = 0, b""
            for message in messages:
                command = f"t APPEND {mailbox} (\\Seen) {{{len(message)}}}\r\n"
                self._connection.send(command.encode())
                self.until((b"+",), deadline - time.monotonic())
                self._connection.send(message + b"\r\n")
                size, end = self.until((b"t OK",), deadline - time.monotonic())
                octets += size
            return octets, end

        return self._connection.sample(all_of_them)

    def close(self) -> None:
        """Log out and await the end."""
        with contextlib.suppress(OSError, NoAnswer):
            self._connection.send(b"z LOGOUT\r\n")
            self._connection.drain(_END_S)
        self._connection.end()

    def kill(self) -> None:
        """End the session whatever the server is doing."""
        self._connection.end()

    def _command(self, command: str, limit_s: float) -> tuple[int, bytes]:
        self._connection.send(f"t {command}\r\n".encode())
        return self.until((b"t OK",), limit_s)

    def until(self, beginnings: tuple[bytes, ...], limit_s: float) -> tuple[int, bytes]:
        """Read up to a last line that begins like this; return the octets and the end of them."""

        def is_end(tail: bytes) -> bool:
            if not tail.endswith(b"\r\n"):
                return False
            last = tail[:-2].rpartition(b"\r\n")[2]
            if last.startswith(beginnings):
                return True
            if last.startswith((b"t NO", b"t BAD", b"* BYE")):
                raise NoAnswer(last.decode(errors="replace"))
            return False

        return self._connection.receive(is_end, limit_s)


def greeted(made: Connection) -> Session:
    """Await the greeting of a session that is authenticated already."""
    session = Session(made)
    try:
        session.until((b"* PREAUTH",), _GREETING_S)
    except BaseException:
        session.kill()
        raise
    return session


def on_port(port: int, userid: str, roots: Sequence[int] = ()) -> tuple[Session, float]:
    """Connect and log in; return the session and the seconds until it was.

    Args:
        roots: processes whose time is the server's.
    """
    began = time.perf_counter()
    session = Session(connection.on_port(port, roots))
    try:
        session.until((b"* OK",), _GREETING_S)
        session.timed(f"LOGIN {userid} {PASSWORD}", _GREETING_S)
    except BaseException:
        session.kill()
        raise
    return session, time.perf_counter() - began
