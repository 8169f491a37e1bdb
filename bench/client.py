"""The smallest IMAP client that can be timed: a socket, lines, no parsing."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from types import TracebackType

PATIENCE_S = 60.0
PASSWORD = "secret"


class Refused(Exception):
    """The server said no, or hung up."""


class Client:
    """One connection, from its greeting on."""

    def __init__(
        self,
        port: int,
        source: str = "127.0.0.1",
        tls: bool = False,
        greeting: bytes = b"* OK",
    ) -> None:
        self.socket = socket.socket()
        try:
            self.socket.settimeout(PATIENCE_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.bind((source, 0))
            self.socket.connect(("127.0.0.1", port))
            if tls:
                self.socket = _context().wrap_socket(self.socket)
            if not self.read(greeting):
                raise Refused("no greeting")
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, command: str) -> None:
        self.socket.sendall(f"t {command}\r\n".encode())

    def read(self, beginning: bytes = b"t OK") -> bytes:
        """Read up to a last line that begins like this; return all of it."""
        data = b""
        while True:
            block = self.socket.recv(65536)
            data += block
            if not block:
                raise Refused(f"hung up after {data[-200:]!r}")
            if data.endswith(b"\r\n"):
                last = data[:-2].rpartition(b"\r\n")[2]
                if last.startswith(beginning):
                    return data
                if last.startswith(b"t "):
                    raise Refused(last.decode(errors="replace"))

    def has_input(self) -> bool:
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))

    def command(self, command: str) -> bytes:
        self.send(command)
        return self.read()

    def login(self, userid: str) -> None:
        self.command(f"LOGIN {userid} {PASSWORD}")

    def idle(self) -> None:
        """Begin to idle; the connection is good for nothing else then."""
        self.send("IDLE")
        self.read(b"+")


#: SO_RCVTIMEO: a timeout of Python's own would cost a poll(2) before each recv(2).
_PATIENCE = struct.pack("ll", int(PATIENCE_S), 0)


def session(port: int, source: str, userid: str, messages: int) -> None:
    """A whole session; what it selects has this many messages.

    In as few system calls as there can be: the clients have their part of the processors.
    """
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", port))
        if not connection.recv(65536).startswith(b"* OK"):
            raise Refused("no greeting")
        _ask(connection, b"t LOGIN %b %b\r\n" % (userid.encode(), PASSWORD.encode()))
        if b"* %d EXISTS\r\n" % messages not in _ask(connection, b"t SELECT INBOX\r\n"):
            raise Refused("another number of messages")
        _ask(connection, b"t LOGOUT\r\n")
        if connection.recv(1):
            raise Refused("something behind the end")


def _ask(connection: socket.socket, command: bytes) -> bytes:
    """Send a command; return all up to its completion, which is OK."""
    connection.send(command)
    data = connection.recv(65536)
    while not (data.startswith(b"t OK ") or b"\r\nt OK " in data) or not data.endswith(b"\r\n"):
        block = connection.recv(65536)
        data += block
        if not block or b"\r\nt NO " in data or data.startswith((b"t NO ", b"t BAD ")):
            raise Refused(f"not OK: {data[-200:]!r}")
    return data


def sessions(
    port: int, source: str, userids: list[str], messages: int, seconds: float
) -> tuple[int, float]:
    """Have sessions, one after the other, for some seconds; return their number and the seconds."""
    began = time.monotonic()
    count = 0
    while (took := time.monotonic() - began) < seconds:
        session(port, source, userids[count % len(userids)], messages)
        count += 1
    return count, took


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
