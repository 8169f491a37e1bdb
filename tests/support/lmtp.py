"""An LMTP server (RFC 2033) that keeps what it is given: a destination for clients that fetch mail."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Session(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self._answer("220 test LMTP")
        while line := self.rfile.readline():
            match line[:4].upper().strip():
                case b"DATA":
                    self._answer("354 go on")
                    self.server.messages.append(self._message())
                    self._answer("250 kept")
                case b"QUIT":
                    self._answer("221 bye")
                    return
                case _:
                    self._answer("250 yes")

    def _message(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            assert line, "the client left within a message"
            lines.append(line.removeprefix(b".").removesuffix(b"\r\n") + b"\n")
        return b"".join(lines)

    def _answer(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.messages: list[bytes] = []


@contextmanager
def lmtp_server() -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and the messages that it has said yes to so far, with LF as line end."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], server.messages
        finally:
            server.shutdown()
            thread.join()
