"""courier.process.asynchronous: sessions over sockets in one event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from courier.process import asynchronous
from courier.process.asynchronous import Connection, Driver
from courier.process.request import (
    ClientGone,
    Receive,
    ShuttingDown,
    Steps,
    Unfinished,
    Wake,
    Work,
)

PATIENCE_S = 30.0


class Run:
    """A session on one end of a socket pair; the test has the other."""

    made: ClassVar[list[Run]] = []

    def __init__(self, steps: Steps) -> None:
        self.made.append(self)
        self.client, self.server = socket.socketpair()
        self.client.setblocking(False)
        self.driver = Driver(asyncio.get_running_loop(), threads=2)
        self.endings = 0
        self.ended = asyncio.Event()
        self.connection = Connection(self.driver, steps, self._end)

    def _end(self) -> None:
        self.endings += 1
        self.ended.set()

    async def start(self) -> Run:
        await self.connection.start(self.server)
        return self

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.client, data)

    async def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            block = await asyncio.get_running_loop().sock_recv(self.client, size - len(data))
            if not block:
                break
            data += block
        return data

    async def rest(self) -> bytes:
        return await self.receive(1 << 30)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), PATIENCE_S)

    try:
        asyncio.run(bounded())
    finally:
        while Run.made:
            Run.made.pop().client.close()


def test_session_speaks_hears_and_ends() -> None:
    """Octets go both ways; the socket is closed behind the last one, then the end is told, once."""

    def echo() -> Steps:
        yield b"hello\n"
        data = yield Receive(30.0)
        yield data.upper()

    async def test() -> None:
        one = await Run(echo()).start()
        await one.send(b"abc\n")

        assert await one.rest() == b"hello\nABC\n"
        await one.ended.wait()
        assert one.endings == 1

    run(test)


def test_receive_times_out() -> None:
    """A session that waits for a client that says nothing is told so."""

    def waits() -> Steps:
        woken = yield Receive(0.01)
        yield str(woken).encode()

    async def test() -> None:
        one = await Run(waits()).start()
        assert await one.rest() == str(Wake.TIMEOUT).encode()

    run(test)


def test_end_of_input_is_not_the_end_of_output() -> None:
    """A client that has shut its side down gets all that it asked for before."""

    def asks() -> Steps:
        heard = b""
        while data := (yield Receive(30.0)):
            heard += data
        yield b"heard " + heard

    async def test() -> None:
        one = await Run(asks()).start()
        await one.send(b"all")
        one.client.shutdown(socket.SHUT_WR)
        assert await one.rest() == b"heard all"

    run(test)


def test_work_runs_in_a_thread_and_its_error_comes_back() -> None:
    """The value is sent, an exception raised where the request was yielded."""

    def fails() -> object:
        raise OSError("disk")

    def works() -> Steps:
        name = yield Work(lambda: threading.current_thread().name)
        yield str(name).encode().split(b"_")[0] + b"\n"
        try:
            yield Work(fails)
        except OSError as error:
            yield str(error).encode()

    async def test() -> None:
        one = await Run(works()).start()
        assert await one.rest() == b"work\ndisk"

    run(test)


def test_session_that_fails_ends_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception nobody caught is logged; the connection closes and its end is told."""

    def broken() -> Steps:
        yield b"x"
        raise ValueError("a bug")

    async def test() -> None:
        one = await Run(broken()).start()
        assert await one.rest() == b"x"
        await one.ended.wait()
        assert one.endings == 1

    run(test)
    assert "ERR: ValueError: a bug" in capfd.readouterr().err


def test_client_that_vanishes_amid_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is blocked by a client that does not read ends when that client has gone."""
    seen: list[str] = []

    def endless() -> Steps:
        try:
            while True:
                yield Unfinished(b"x" * 65536)
        except ClientGone:
            seen.append("gone")

    async def test() -> None:
        one = await Run(endless()).start()
        await one.receive(100)
        one.client.close()
        await one.ended.wait()
        assert (seen, one.endings) == (["gone"], 1)

    run(test)


def test_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without progress the connection is cut, and the session told."""
    monkeypatch.setattr(asynchronous, "_STALLED_S", 0.05)
    seen: list[str] = []

    def endless() -> Steps:
        try:
            while True:
                yield b"x" * 65536
        except ClientGone:
            seen.append("gone")

    async def test() -> None:
        one = await Run(endless()).start()
        await one.ended.wait()
        assert (seen, one.endings) == (["gone"], 1)

    run(test)


def test_finished_session_whose_client_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to write doesn't keep a connection for ever."""
    monkeypatch.setattr(asynchronous, "_STALLED_S", 0.05)

    def long() -> Steps:
        yield b"x" * (8 << 20)

    async def test() -> None:
        one = await Run(long()).start()
        await one.ended.wait()
        assert one.endings == 1

    run(test)


def test_end_is_told_only_when_all_is_written() -> None:
    """The last octets reach a slow client before anybody thinks that the session is over."""

    def long() -> Steps:
        yield b"x" * (4 << 20)

    async def test() -> None:
        one = await Run(long()).start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert one.endings == 0
        assert len(await one.rest()) == 4 << 20
        await one.ended.wait()
        assert one.endings == 1

    run(test)


def test_stop_while_waiting() -> None:
    """A session that waits says goodbye at once."""

    def polite() -> Steps:
        try:
            yield b"hello\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    async def test() -> None:
        one = await Run(polite()).start()
        assert await one.receive(6) == b"hello\n"
        one.connection.stop()
        assert await one.rest() == b"bye\n"

    run(test)


def test_stop_amid_a_response() -> None:
    """The response is brought to its end first."""

    def polite() -> Steps:
        try:
            for _ in range(100):
                yield Unfinished(b"x" * 65536)
            yield b"end\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    async def test() -> None:
        one = await Run(polite()).start()
        await one.receive(1)
        one.connection.stop()
        assert await one.rest() == b"x" * (100 * 65536 - 1) + b"end\nbye\n"

    run(test)


def test_stop_before_the_first_step() -> None:
    """A session that was passed on while the server stops greets and says goodbye."""

    def polite() -> Steps:
        try:
            yield b"hello\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    async def test() -> None:
        one = Run(polite())
        one.connection.stop()
        await one.start()
        assert await one.rest() == b"hello\nbye\n"

    run(test)


def test_stop_while_a_thread_works() -> None:
    """The work is waited for, then the session says goodbye."""
    may_end = threading.Event()

    def works() -> Steps:
        try:
            yield b"x"
            yield Work(lambda: may_end.wait(PATIENCE_S))
        except ShuttingDown:
            yield b"bye"

    async def test() -> None:
        one = await Run(works()).start()
        await one.receive(1)
        one.connection.stop()
        may_end.set()
        assert await one.rest() == b"bye"

    run(test)


def test_long_work_gives_others_their_turn() -> None:
    """Between the steps of one session that never waits, another is answered."""

    def endless() -> Steps:
        while True:
            yield b""

    def echo() -> Steps:
        yield (yield Receive(30.0))

    async def test() -> None:
        busy = await Run(endless()).start()
        other = await Run(echo()).start()
        await other.send(b"hello")
        assert await other.rest() == b"hello"
        busy.connection.stop()
        await busy.ended.wait()

    run(test)


def test_input_is_not_read_without_end() -> None:
    """While a session doesn't ask, only so much of what its client sends is taken."""
    may_go_on = threading.Event()

    def works() -> Steps:
        yield Work(lambda: may_go_on.wait(PATIENCE_S))
        heard = 0
        while data := (yield Receive(30.0)):
            heard += len(data)
        yield b"%d" % heard

    async def test() -> None:
        one = await Run(works()).start()
        sending = asyncio.create_task(one.send(b"x" * (32 << 20)))
        await asyncio.sleep(0.1)
        assert not sending.done()
        may_go_on.set()
        await sending
        one.client.shutdown(socket.SHUT_WR)
        assert await one.rest() == b"%d" % (32 << 20)

    run(test)


def test_socket_that_is_none() -> None:
    """What can't carry a session is refused when it starts."""

    async def test() -> None:
        one = Run(iter(()))  # type: ignore[arg-type]
        one.server.close()
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            pytest.raises((OSError, ValueError)),
        ):
            await one.connection.start(datagrams)

    run(test)
