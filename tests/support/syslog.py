"""A system log of a test's own: /dev/log in a mount namespace, whatever program writes there. As root."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_LINE = re.compile(rb"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d (.*)", re.DOTALL)
_DEVICES = """
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
ln -s {} /dev/log
exec {}
"""
#: Seconds after which a test fails that waits for a line.
_PATIENCE_S = 20


class Syslog:
    """What was logged, as priority and text: ``(19, "imapd: no such file")``."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        os.chmod(self._directory.name, 0o711)  # for programs that don't stay root
        self._path = f"{self._directory.name}/log"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._socket.settimeout(_PATIENCE_S)
        os.chmod(self._path, 0o777)

    def close(self) -> None:
        self._socket.close()
        self._directory.cleanup()

    def command_line(self, command: Sequence[str]) -> list[str]:
        """Have a program see this log, and few other devices."""
        script = _DEVICES.format(shlex.quote(self._path), shlex.join(command))
        return ["unshare", "-m", "sh", "-ec", script]

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        stdin: bytes = b"",
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.command_line(command), input=stdin, capture_output=True, timeout=60,
            env=dict(environment), cwd=cwd, check=False,
        )  # fmt: skip

    def next(self) -> tuple[int, str]:
        """Wait for a line."""
        return _read(self._socket.recv(65_536))

    def lines(self) -> list[tuple[int, str]]:
        """Give all that is there, which is all that was written by programs that have ended."""
        self._socket.setblocking(False)
        try:
            found = []
            while True:
                try:
                    found.append(_read(self._socket.recv(65_536)))
                except BlockingIOError:
                    return found
        finally:
            self._socket.settimeout(_PATIENCE_S)


def _read(datagram: bytes) -> tuple[int, str]:
    match = _LINE.fullmatch(datagram)
    assert match, datagram
    return int(match[1]), match[2].decode()
