"""A POP3 session whose commands are timed; whom it serves is known from its start."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from bench.client import PASSWORD
from bench.connection import Connection, NoAnswer, Sample

_END_S = 30.0


class Session:
    """One session, from the start of its server's process on.

    Dovecot's does not greet when nobody logged in to it, so a session has begun when NOOP was answered, behind
    the greeting or without one.
    """

    def __init__(self, connection: Connection, *, greets: bool = True) -> None:
        self.running_s = connection.running_s
        self._connection = connection
        self._lines = 2 if greets else 1

    def begin(self, limit_s: float) -> None:
        """Await the end of the log-in, with which servers open the maildrop."""

        def is_end(tail: bytes) -> bool:
            _refuse(tail)
            return tail.endswith(b"\r\n") and tail.count(b"\r\n") >= self._lines

        self._connection.send(b"NOOP\r\n")
        self._connection.receive(is_end, limit_s)

    def log_in(self, userid: str, limit_s: float) -> Sample:
        """Await the greeting of a daemon, and say who is there."""

        def run() -> tuple[int, bytes]:
            octets, end = self._connection.receive(_is_end_of_one, limit_s)
            for line in (f"USER {userid}\r\n", f"PASS {PASSWORD}\r\n"):
                self._connection.send(line.encode())
                size, end = self._connection.receive(_is_end_of_one, limit_s)
                octets += size
            return octets, end

        return self._connection.sample(run)

    def timed(self, commands: Sequence[str], limit_s: float) -> Sample:
        """Run commands with responses of many lines, each when the one before was answered.

        Raises:
            NoAnswer: one was refused, or the server ended.
            TooSlow: one took longer than the limit.
        """

        def all_of_them() -> tuple[int, bytes]:
            octets, end = 0, b""
            for command in commands:
                self._connection.send(f"{command}\r\n".encode())
                size, end = self._connection.receive(_is_end_of_many, limit_s)
                octets += size
            return octets, end

        return self._connection.sample(all_of_them)

    def quit(self, limit_s: float) -> Sample:
        """Run QUIT up to its answer, before which what the session did must be kept."""

        def run() -> tuple[int, bytes]:
            self._connection.send(b"QUIT\r\n")
            return self._connection.receive(_is_end_of_one, limit_s)

        sample = self._connection.sample(run)
        with contextlib.suppress(OSError):
            self._connection.drain(_END_S)
        self._connection.end()
        return sample

    def kill(self) -> None:
        self._connection.end()


def _is_end_of_one(tail: bytes) -> bool:
    _refuse(tail)
    return tail.endswith(b"\r\n")


def _is_end_of_many(tail: bytes) -> bool:
    """Tell it by the line with the dot; no other response is waited for."""
    _refuse(tail)
    return tail.endswith(b"\r\n.\r\n")


def _refuse(tail: bytes) -> None:
    """Raise NoAnswer if what came is a refusal, which is a single line."""
    if tail.startswith(b"-ERR") and tail.find(b"\n") == len(tail) - 1:
        raise NoAnswer(tail.decode(errors="replace").strip())
