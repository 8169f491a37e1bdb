"""courier.process.worker: a real worker process whose master is the test."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courier import log
from courier.log import Peer
from courier.process import attendant, channel, worker
from courier.process.channel import ChannelClosed
from courier.process.message import Kind, SessionRequest
from courier.process.privileges import Ids
from courier.process.request import GiveBack, Receive, ShuttingDown, Steps
from tests.support.daemon import descriptors, is_alive, wait_until

ME = Ids(os.getuid(), os.getgid(), tuple(os.getgroups()))


class Worker:
    def __init__(self, directory: Path, linger_s: float, grace_s: float) -> None:
        self.control, theirs = channel.pair()
        self._log = directory / "log"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.control.close()
                descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                log.use(descriptor)
                os.dup2(descriptor, 2)
                attendant.LINGER_S = linger_s
                attendant.GRACE_S = grace_s
                worker.run(theirs, ME, 0o027, lambda: _session)
            finally:
                os._exit(0)
        theirs.close()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def begin(
        self, number: int, userid: str = "echo", descriptor: int | None = None
    ) -> socket.socket:
        """Start a session; return its client."""
        client, theirs = socket.socketpair()
        client.settimeout(20)
        request = SessionRequest(
            number=number,
            address=userid,
            options="",
            home="/",
            maildir="Maildir",
            peer=Peer("::1", "1"),
            greeting=b"hello\n",
            unread=b"",
            protocol="IMAP",
            tls=False,
        )
        with theirs:
            sent = theirs.fileno() if descriptor is None else descriptor
            channel.send(self.control, request.fields(), sent)
        return client

    def say(self, kind: Kind) -> None:
        channel.send(self.control, [kind.value])

    def hear(self) -> list[bytes]:
        fields, descriptor = self.hear_with_descriptor()
        assert descriptor is None
        return fields

    def hear_with_descriptor(self) -> tuple[list[bytes], int | None]:
        assert select.select([self.control], [], [], 20)[0], self.log
        received = channel.receive(self.control)
        assert received is not None
        return received

    def is_gone(self) -> bool:
        wait_until(lambda: not is_alive(self.pid), lambda: self.log)
        return True

    def close(self) -> None:
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.control.close()


def _session(request: SessionRequest) -> Steps:
    if request.address == "impossible":
        raise ValueError("no session for this one")
    return _leaving(request) if request.address == "leaving" else _echo(request)


def _leaving(request: SessionRequest) -> Steps:
    yield request.greeting
    heard = yield Receive(30.0)
    yield b"left\n"
    yield GiveBack(heard.removeprefix(b"leave\n"))


def _echo(request: SessionRequest) -> Steps:
    try:
        yield request.greeting
        while data := (yield Receive(30.0)):
            yield data
    except ShuttingDown:
        if request.address == "stubborn":
            while True:
                yield b""
        yield b"bye\n"


Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def start_worker(linger_s: float = 60.0, grace_s: float = 60.0) -> Worker:
        workers.append(Worker(tmp_path, linger_s, grace_s))
        return workers[-1]

    yield start_worker
    for one in workers:
        one.close()


def test_sessions_begin_and_end(start: Start) -> None:
    """Each with its client; master is told the number of each one that ended."""
    one = start()
    first, second = one.begin(1), one.begin(2)
    assert first.recv(6) == second.recv(6) == b"hello\n"
    second.sendall(b"x")
    assert second.recv(6) == b"x"

    first.close()

    assert one.hear() == [Kind.ENDED.value, b"1"]
    second.sendall(b"y")
    assert second.recv(6) == b"y"
    second.close()
    assert one.hear() == [Kind.ENDED.value, b"2"]


def test_session_that_leaves_its_client(start: Start) -> None:
    """Master gets what was read and not used; the worker keeps no copy of the client."""
    one = start(linger_s=0.05)
    client = one.begin(1, "leaving")
    assert client.recv(6) == b"hello\n"
    before = descriptors(one.pid)

    client.sendall(b"leave\nb NOOP\r\n")

    fields = one.hear()
    if fields == [Kind.IDLE.value, b"0"]:  # before the session came
        fields = one.hear()
    assert fields == [Kind.RETURNED.value, b"1", b"b NOOP\r\n"]
    assert client.recv(5) == b"left\n"
    assert client.recv(1) == b""
    assert one.hear() == [Kind.IDLE.value, b"0"]  # as after any end
    assert len(descriptors(one.pid)) == len(before) - 1
    client.close()


def test_many_that_leave_at_once(start: Start) -> None:
    """Master hears of all of them, once, though at first there is no room for so much."""
    one = start()
    count, rest = 250, b"x" * 4000
    clients = [one.begin(number, "leaving") for number in range(count)]
    for client in clients:
        assert client.recv(6) == b"hello\n"
        client.sendall(b"leave\n" + rest)
        assert client.recv(5) == b"left\n"

    one.control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    said: dict[int, bytes] = {}
    for _ in range(count):
        fields = one.hear()
        assert fields[0] == Kind.RETURNED.value and int(fields[1]) not in said
        said[int(fields[1])] = fields[2]

    assert sorted(said) == list(range(count))
    assert all(rest.startswith(unread) for unread in said.values())
    for client in clients:
        client.close()


@pytest.mark.parametrize("what", ["file", "datagrams"])
def test_descriptor_that_carries_no_session(start: Start, tmp_path: Path, what: str) -> None:
    """A login process may have been lied to; the session has ended and others go on."""
    one = start()
    with open(tmp_path / "file", "wb") as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        one.begin(1, descriptor=(file if what == "file" else datagrams).fileno()).close()

        assert one.hear() == [Kind.ENDED.value, b"1"]
    with one.begin(2) as client:
        assert client.recv(6) == b"hello\n"
    assert "Traceback" not in one.log


def test_session_that_can_t_be_made(start: Start) -> None:
    """It is logged and has ended; its client's socket is closed."""
    one = start()
    with one.begin(1, "impossible") as client:
        assert client.recv(6) == b""
    assert one.hear() == [Kind.ENDED.value, b"1"]
    assert "ERR: ValueError: no session for this one" in one.log


def test_worker_without_a_session_asks_to_leave(start: Start) -> None:
    """Also one that never had any; it stays until it is let go."""
    one = start(linger_s=0.05)

    assert one.hear() == [Kind.IDLE.value, b"0"]
    assert is_alive(one.pid)
    with one.begin(1) as client:
        assert client.recv(6) == b"hello\n"
    assert one.hear() == [Kind.ENDED.value, b"1"]
    assert one.hear() == [Kind.IDLE.value, b"0"]
    one.say(Kind.EXIT)
    assert one.is_gone()


@pytest.mark.parametrize("how", ["message", "signal", "master is gone"])
def test_stop(start: Start, how: str) -> None:
    """Every client is told goodbye, then the worker leaves."""
    one = start()
    clients = [one.begin(number) for number in range(3)]
    for client in clients:
        assert client.recv(6) == b"hello\n"

    if how == "message":
        one.say(Kind.STOP)
    elif how == "signal":
        os.kill(one.pid, signal.SIGTERM)
    else:
        one.control.close()

    for client in clients:
        assert client.recv(6) == b"bye\n"
        assert client.recv(6) == b""
        client.close()
    assert one.is_gone()


@pytest.mark.slow
def test_stop_with_a_session_that_does_not_end(start: Start) -> None:
    """It is waited for only so long."""
    one = start(grace_s=0.3)
    client = one.begin(1, "stubborn")
    assert client.recv(6) == b"hello\n"

    one.say(Kind.STOP)

    assert one.is_gone()
    client.close()


def test_message_that_is_none(start: Start) -> None:
    """From master there is no nonsense; if there is, this is the end."""
    one = start()
    client = one.begin(1)
    assert client.recv(6) == b"hello\n"

    channel.send(one.control, [b"nonsense"])

    assert client.recv(6) == b"bye\n"
    assert one.is_gone()
    with pytest.raises(ChannelClosed):
        while channel.receive(one.control) is not None:
            pass
    client.close()
