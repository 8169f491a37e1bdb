"""authdaemond, Courier's or ours, started for a test, and one connection to its socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.courier_root import CourierRoot
from tests.support.daemon import children
from tests.support.servers import MODULES

LIMIT_S = 40.0
COURIERS = "/usr/lib/courier/courier-authlib/authdaemond"


class Daemon:
    """A running authdaemond; its log, which is its standard error, can be read at any time."""

    def __init__(self, process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
        self.process = process
        self.path = path
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ask(self, request: bytes, *, half_close: bool = False) -> bytes:
        """Send a request on a connection of its own and return all that comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(LIMIT_S)
        connection.connect(str(self.path))
        return connection

    def wait_until_it_listens(self) -> None:
        give_up = time.monotonic() + LIMIT_S
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.log
            try:
                self.connect().close()
                return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.02)
        raise AssertionError("authdaemond doesn't listen")

    def wait_for_log(self, text: str, count: int = 1) -> None:
        give_up = time.monotonic() + LIMIT_S
        while self.log.count(text) < count:
            assert time.monotonic() < give_up, self.log
            time.sleep(0.02)

    def children(self) -> list[int]:
        """The daemon's processes, oldest first."""
        return children(self.process.pid)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def read_all(connection: socket.socket) -> bytes:
    data = bytearray()
    while block := connection.recv(65536):
        data += block
    return bytes(data)


def authdaemonrc(settings: Mapping[str, str]) -> str:
    return "".join(f'{name}="{value}"\n' for name, value in settings.items())


def start_ours(
    directory: Path, settings: Mapping[str, str], program: Sequence[str] = ("-m", "authdaemond")
) -> Daemon:
    """Start our daemon on `etc` and `run` below ``directory``, as who runs the tests."""
    (directory / "etc").mkdir(exist_ok=True)
    (directory / "etc/authdaemonrc").write_text(authdaemonrc(settings))
    log = directory / "log"
    with log.open("ab") as written:
        process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=environment(directory),
        )
    daemon = Daemon(process, directory / "run/authdaemon/socket", log)
    daemon.wait_until_it_listens()
    return daemon


def environment(directory: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        **MODULES,
        "PYCOURIER_SYSCONFDIR": str(directory / "etc"),
        "PYCOURIER_RUNDIR": str(directory / "run"),
        "PYCOURIER_LOCALSTATEDIR": str(directory / "var"),
    }


def start_inside(root: CourierRoot, settings: Mapping[str, str], *, ours: bool) -> Daemon:
    """Start our daemon or Courier's in a root directory of Courier's."""
    (root.configuration / "authdaemonrc").write_text(authdaemonrc(settings))
    descriptor, name = tempfile.mkstemp(dir=root.path / "tmp")
    command = ["python3", "-m", "authdaemond"] if ours else [COURIERS]
    with open(descriptor, "ab") as written:
        process = root.start(command, written, None if ours else settings)
    daemon = Daemon(process, root.authdaemonvar / "socket", Path(name))
    daemon.wait_until_it_listens()
    return daemon


def is_root() -> bool:
    return os.geteuid() == 0


class Load:
    """Clients that ask the same again and again, from entering on until leaving.

    ``said`` is what they were answered, in the order of the answers.
    """

    def __init__(self, daemon: Daemon, request: bytes, clients: int = 4) -> None:
        self.said: list[bytes] = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(daemon, request)) for _ in range(clients)
        ]

    def _ask(self, daemon: Daemon, request: bytes) -> None:
        while not self._is_over.is_set():
            self.said.append(daemon.ask(request))

    def wait_for(self, what: Callable[[bytes], bool], count: int = 20) -> None:
        """Until so many of the answers from now on are like that."""
        before = len(self.said)
        give_up = time.monotonic() + LIMIT_S
        while sum(map(what, self.said[before:])) < count:
            assert time.monotonic() < give_up, set(self.said[before:])
            time.sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(LIMIT_S)
