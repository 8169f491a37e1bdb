"""courier.process.login_connection: what a stranger can make a login process keep."""

from __future__ import annotations

import socket
from typing import cast

from courier.log import Peer
from courier.process.login import LoginProcess
from courier.process.login_connection import Connection
from courier.process.login_request import LoginSteps, Pause, Stranger
from courier.process.loop import Loop
from courier.process.request import Receive


class Process:
    """As much of a login process as a connection needs."""

    tls_from_start = False
    is_stopping = False

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[bytes] = []
        self.ends: list[int] = []

    def make_login(self, stranger: Stranger) -> LoginSteps:
        yield b"hello\r\n"
        yield Pause(0.02)
        while data := (yield Receive(30.0)):
            self.heard.append(data)

    def ended(self, number: int, *, was_taken: bool) -> None:
        self.ends.append(number)
        self.loop.stop()


def test_unread_input_is_bounded() -> None:
    """Less than 8 kB are kept of what is sent while nobody asks for it; none of it is lost."""
    process = Process()
    ours, client = socket.socketpair()
    ours.setblocking(False)
    stranger = Stranger(Peer("::1", "1"), "::1", 143)
    connection = Connection(cast(LoginProcess, process), 7, stranger)
    sent = bytes(range(256)) * 200
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    process.loop.later(30.0, process.loop.stop)

    connection.start(ours)
    process.loop.run()

    assert b"".join(process.heard) == sent
    assert 4096 <= len(process.heard[0]) < 8192
    assert max(map(len, process.heard)) < 8192
    assert process.ends == [7]
    client.close()
    process.loop.close()
