"""A stand-in for authdaemond that answers as a test tells it to: late, wrong, or not at all.

It shares no code with `courier.auth`. Every connection has a thread, so a delayed answer delays
nobody else, as with the real one.
"""

from __future__ import annotations

import base64
import hmac
import os
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """An account: its password, and what is told of it."""

    password: str
    attributes: dict[str, str]

    def reply(self) -> bytes:
        order = ("USERNAME", "UID", "GID", "HOME", "ADDRESS", "NAME", "MAILDIR", "QUOTA")
        order += ("PASSWD2", "OPTIONS")
        lines = [f"{name}={self.attributes[name]}\n" for name in order if name in self.attributes]
        return "".join(lines).encode() + b".\n"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    service: str
    authtype: str
    userid: str
    remote_ip: str


@dataclass
class Behaviour:
    """What a test may change at any time."""

    #: Seconds before the answer, by userid, and before all others; `released` cuts it short.
    delays: dict[str, float] = field(default_factory=dict)
    delay_of_wrong_s: float = 0.0
    #: Octets that are sent instead of an answer, by userid; empty: closed without a word.
    instead: dict[str, bytes] = field(default_factory=dict)


class FakeAuthdaemond:
    """Listens on ``path`` from `start` to `stop`, which may alternate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accounts: dict[str, Entry] = {}
        self.behaviour = Behaviour()
        self.asked: list[Asked] = []
        self.released = threading.Event()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(1024)
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        """Be gone, as after a crash: the socket's file stays and refuses."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def close(self) -> None:
        """Stop, and let nobody wait any longer."""
        self.released.set()
        self.stop()
        for thread in self._threads:
            thread.join(10)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                self._answer(connection)
            except OSError:
                pass  # who asked has gone

    def _answer(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        remote_ip = ""
        line = lines.readline()
        while b"=" in line.split(b" ")[0]:
            name, _, value = line.rstrip(b"\n").partition(b"=")
            if name == b"TCPREMOTEIP":
                remote_ip = value.decode()
            line = lines.readline()
        command, _, rest = line.rstrip(b"\n").partition(b" ")
        if command == b"PRE":
            _, service, userid = rest.decode().split(" ", 2)
            self._tell(connection, Asked(service, "PRE", userid, remote_ip), is_right=True)
        elif command == b"AUTH":
            service, authtype, first, second, *_ = (
                lines.read(int(rest)).decode("latin-1").split("\n")
            )
            userid, is_right = self._check(authtype, first, second)
            self._tell(connection, Asked(service, authtype, userid, remote_ip), is_right=is_right)

    def _check(self, authtype: str, first: str, second: str) -> tuple[str, bool]:
        if authtype == "login":
            entry = self.accounts.get(first)
            return first, entry is not None and entry.password == second
        if authtype in _CRAM:
            userid, _, digest = base64.b64decode(second).decode().rpartition(" ")
            entry = self.accounts.get(userid)
            challenge = base64.b64decode(first)
            return userid, entry is not None and digest == _digest(
                entry, challenge, _CRAM[authtype]
            )
        return first, False

    def _tell(self, connection: socket.socket, asked: Asked, *, is_right: bool) -> None:
        self.asked.append(asked)
        entry = self.accounts.get(asked.userid)
        is_right = is_right and entry is not None
        delay_s = self.behaviour.delays.get(
            asked.userid, 0.0 if is_right else self.behaviour.delay_of_wrong_s
        )
        if delay_s:
            self.released.wait(delay_s)
        if asked.userid in self.behaviour.instead:
            connection.sendall(self.behaviour.instead[asked.userid])
        elif is_right and entry is not None:
            connection.sendall(entry.reply())
        else:
            connection.sendall(b"FAIL\n")


_CRAM = {"cram-md5": "md5", "cram-sha1": "sha1", "cram-sha256": "sha256"}


def _digest(entry: Entry, challenge: bytes, name: str) -> str:
    return hmac.new(entry.password.encode(), challenge, name).hexdigest()


def own_ids() -> tuple[int, int]:
    """The uid and gid that accounts of tests have: no one's, or without root our own."""
    return (5000, 5000) if os.geteuid() == 0 else (os.getuid(), os.getgid())
