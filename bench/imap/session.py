"""A session whose commands are timed: bytes out, bytes in, nothing parsed but the last line."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench import process_tree
from bench.client import PASSWORD

_BLOCK = 1 << 18
_GREETING_S = 60.0
_END_S = 30.0


class NoAnswer(Exception):
    """The server refused the command, or ended."""


class TooSlow(Exception):
    """The completion did not come in time; the session can't be used any more."""


@dataclass(frozen=True)
class Sample:
    """What one command took; the processor's time is the server's, where its process is known."""

    seconds: float
    processor_s: float | None
    octets: int
    end: bytes  # the last of what came, the completion included


class Session:
    """One connection, from its greeting on."""

    def __init__(
        self, connection: socket.socket, end: Callable[[], None], pid: int | None = None
    ) -> None:
        self.pid = pid
        self._socket = connection
        self._end = end

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
        return self._sample(lambda: self._command(command, limit_s))

    def append(self, mailbox: str, messages: Sequence[bytes], limit_s: float) -> Sample:
        """Append messages one after the other, each after the server asked for it."""
        deadline = time.monotonic() + limit_s

        def all_of_them() -> tuple[int, bytes]:
            octets, end = 0, b""
            for message in messages:
                self._send(f"t APPEND {mailbox} (\\Seen) {{{len(message)}}}\r\n".encode())
                self.until((b"+",), deadline - time.monotonic())
                self._send(message + b"\r\n")
                size, end = self.until((b"t OK",), deadline - time.monotonic())
                octets += size
            return octets, end

        return self._sample(all_of_them)

    def close(self) -> None:
        """Log out and await the end."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"z LOGOUT\r\n")
            while self._has_input(_END_S) and self._socket.recv(_BLOCK):
                pass
        self._end()

    def kill(self) -> None:
        """End the session whatever the server is doing."""
        self._end()

    def _command(self, command: str, limit_s: float) -> tuple[int, bytes]:
        self._send(f"t {command}\r\n".encode())
        return self.until((b"t OK",), limit_s)

    def _sample(self, run: Callable[[], tuple[int, bytes]]) -> Sample:
        before = None if self.pid is None else process_tree.running_s(self.pid)
        began = time.perf_counter()
        octets, end = run()
        took = time.perf_counter() - began
        after = None if self.pid is None else process_tree.running_s(self.pid)
        used = None if before is None or after is None else after - before
        return Sample(took, used, octets, end)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NoAnswer(str(error)) from error

    def until(self, beginnings: tuple[bytes, ...], limit_s: float) -> tuple[int, bytes]:
        """Read up to a last line that begins like this; return the octets and the end of them."""
        octets = 0
        tail = b""
        deadline = time.monotonic() + limit_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not self._has_input(left):
                raise TooSlow(f"no end after {octets} octets")
            data = self._socket.recv(_BLOCK)
            if not data:
                raise NoAnswer(f"the server ended after {octets} octets: {tail!r}")
            octets += len(data)
            tail = (tail + data)[-4096:]
            if tail.endswith(b"\r\n"):
                last = tail[:-2].rpartition(b"\r\n")[2]
                if last.startswith(beginnings):
                    return octets, tail
                if last.startswith((b"t NO", b"t BAD", b"* BYE")):
                    raise NoAnswer(last.decode(errors="replace"))

    def _has_input(self, limit_s: float) -> bool:
        return bool(select.select([self._socket], [], [], limit_s)[0])


def on_socket_pair(
    command: Sequence[str], environment: Mapping[str, str], place: Path, owner: tuple[int, int]
) -> Session:
    """Start a server whose standard input and output are an authenticated session."""
    drops = os.geteuid() == 0
    no_groups: list[int] = []
    near, far = socket.socketpair()
    with far:
        process = subprocess.Popen(
            command,
            stdin=far.fileno(),
            stdout=far.fileno(),
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd=place,
            user=owner[0] if drops else None,
            group=owner[1] if drops else None,
            extra_groups=no_groups if drops else None,
        )

    def end() -> None:
        near.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    session = Session(near, end, process.pid)
    try:
        session.until((b"* PREAUTH",), _GREETING_S)
    except BaseException:
        end()
        raise
    return session


def on_port(port: int, userid: str) -> tuple[Session, float]:
    """Connect and log in; return the session and the seconds until it was."""
    began = time.perf_counter()
    connection = socket.create_connection(("127.0.0.1", port), _GREETING_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)
    session = Session(connection, connection.close)
    try:
        session.until((b"* OK",), _GREETING_S)
        session.timed(f"LOGIN {userid} {PASSWORD}", _GREETING_S)
    except BaseException:
        connection.close()
        raise
    return session, time.perf_counter() - began
