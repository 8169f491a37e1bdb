"""A connection whose answers are timed: bytes out, bytes in, nothing parsed but the end of what comes."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import process_tree

_BLOCK = 1 << 18
_TAIL = 4096
_CONNECT_S = 60.0


class NoAnswer(Exception):
    """The server refused the command, or ended."""


class TooSlow(Exception):
    """The end of the answer did not come in time; the session can't be used any more."""


@dataclass(frozen=True)
class Sample:
    """What one command took; the processor's time is the server's, where its process is known."""

    seconds: float
    processor_s: float | None
    octets: int
    end: bytes  # the last of what came, the completion included


class Connection:
    """``end`` closes it, and sees to the server's process if there is one: ``pid``.

    ``roots`` are the processes whose time, with that of those below them, is the server's.
    """

    def __init__(
        self,
        connection: socket.socket,
        end: Callable[[], None],
        pid: int | None = None,
        roots: Sequence[int] = (),
    ) -> None:
        self.pid = pid
        self._roots = roots if pid is None else (pid,)
        self.end = end
        self._socket = connection

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NoAnswer(str(error)) from error

    def sample(self, run: Callable[[], tuple[int, bytes]]) -> Sample:
        """Take the time of ``run``, which returns the octets that came and the end of them."""
        before = self.running_s()
        began = time.perf_counter()
        octets, end = run()
        took = time.perf_counter() - began
        used = self.running_s() - before if self._roots else None
        return Sample(took, used, octets, end)

    def running_s(self) -> float:
        """Seconds of the processor that the server has had so far."""
        return sum(map(process_tree.running_s, self._roots))

    def receive(self, is_end: Callable[[bytes], bool], limit_s: float) -> tuple[int, bytes]:
        """Read until the last octets say so; return the number of octets and the last of them.

        Raises:
            NoAnswer: the server ended, or ``is_end`` saw a refusal.
            TooSlow: it took longer than the limit.
        """
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
            tail = (tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]
            if is_end(tail):
                return octets, tail

    def drain(self, limit_s: float) -> None:
        """Read all until the server closes, or says nothing for so long."""
        while self._has_input(limit_s) and self._socket.recv(_BLOCK):
            pass

    def _has_input(self, limit_s: float) -> bool:
        return bool(select.select([self._socket], [], [], limit_s)[0])


def on_socket_pair(
    command: Sequence[str], environment: Mapping[str, str], place: Path, owner: tuple[int, int]
) -> Connection:
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

    return Connection(near, end, process.pid)


def on_port(port: int, roots: Sequence[int] = ()) -> Connection:
    """Connect to a daemon."""
    connection = socket.create_connection(("127.0.0.1", port), _CONNECT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(None)
    return Connection(connection, connection.close, roots=roots)
