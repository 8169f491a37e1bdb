"""courier.process.asynchronous: sessions over sockets in one event loop, which has a thread here."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from courier.process import asynchronous
from courier.process.asynchronous import Connection, Driver
from courier.process.loop import Loop
from courier.process.request import (
    ClientGone,
    GiveBack,
    Receive,
    ShuttingDown,
    Steps,
    Unfinished,
    Wake,
    Work,
)
from courier.process.stream import READ_AT_ONCE
from tests.courier.process.test_blocking import Source, Watch, source

__all__ = ["source"]

PATIENCE_S = 30.0


class Run:
    """A session on one end of a socket pair; the test has the other."""

    def __init__(self, loop: Loop, driver: Driver, steps: Steps, at_once: int) -> None:
        self.client, self.server = socket.socketpair()
        self.client.settimeout(PATIENCE_S)
        self._loop = loop
        self.ended = threading.Event()
        self.endings = 0
        self.connection = Connection(driver, steps, self._end, at_once)

    def _end(self, unread: bytes | None) -> None:
        self.unread = unread
        self.endings += 1
        self.ended.set()

    def start(self) -> Run:
        self.in_loop(partial(self.connection.start, self.server))
        return self

    def stop(self) -> None:
        self._loop.soon_from_thread(self.connection.stop)

    def in_loop(self, call: Callable[[], None]) -> None:
        """Call in the loop's thread and wait for it; raise what it raises."""
        outcome: queue.Queue[Exception | None] = queue.Queue()

        def carefully() -> None:
            try:
                call()
            except Exception as error:
                outcome.put(error)
            else:
                outcome.put(None)

        self._loop.soon_from_thread(carefully)
        error = outcome.get(timeout=PATIENCE_S)
        if error is not None:
            raise error

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            block = self.client.recv(min(size - len(data), 1 << 20))
            if not block:
                break
            data += block
        return data

    def rest(self) -> bytes:
        return self.receive(1 << 30)

    def has_ended(self) -> bool:
        """Wait for the end; tell whether it was told once."""
        assert self.ended.wait(PATIENCE_S)
        self.in_loop(lambda: None)
        return self.endings == 1


Begin = Callable[..., Run]


@pytest.fixture
def make() -> Iterator[Begin]:
    """Make sessions that have not begun."""
    loop = Loop()
    driver = Driver(loop, threads=2)
    thread = threading.Thread(target=loop.run)
    thread.start()
    made: list[Run] = []

    def make_run(steps: Steps, at_once: int = READ_AT_ONCE) -> Run:
        made.append(Run(loop, driver, steps, at_once))
        return made[-1]

    yield make_run
    loop.soon_from_thread(loop.stop)
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    loop.close()
    for one in made:
        one.client.close()
        one.server.close()


@pytest.fixture
def begin(make: Begin) -> Begin:
    return lambda steps: make(steps).start()


def test_session_speaks_hears_and_ends(begin: Begin) -> None:
    """Octets go both ways; the socket is closed behind the last one, then the end is told, once."""

    def echo() -> Steps:
        yield b"hello\n"
        data = yield Receive(30.0)
        yield data.upper()

    one = begin(echo())
    one.client.sendall(b"abc\n")

    assert one.rest() == b"hello\nABC\n"
    assert one.has_ended()


def test_session_gives_its_client_back(begin: Begin) -> None:
    """Once all that it said is sent; with what it has not used, and what nobody has asked for. The end is
    told once, and the socket closed; all that comes later is for whoever has a copy."""
    said = b"x" * 1_000_000

    def leaves() -> Steps:
        command = yield Receive(30.0)
        yield said
        yield Work(lambda: one.client.sendall(b"def"))
        yield GiveBack(command.removeprefix(b"leave\n"))

    one = begin(leaves())
    copy = one.server.dup()
    one.client.sendall(b"leave\nabc")
    assert one.receive(len(said)) == said
    assert one.has_ended()

    assert one.server.fileno() == -1
    one.client.sendall(b"ghi")
    assert one.unread is not None and one.unread + copy.recv(100) == b"abcdefghi"
    copy.close()


def test_given_back_when_it_has_gone(begin: Begin) -> None:
    """There is no client to go back; a session that had something to say ends as ever."""

    def leaves() -> Steps:
        yield Receive(30.0)
        yield b"x" * 10_000_000
        yield GiveBack(b"")

    one = begin(leaves())
    one.client.sendall(b"leave\n")
    assert one.client.recv(100)
    one.client.close()
    assert one.has_ended()

    assert one.unread is None
    assert one.server.fileno() == -1


def test_given_back_to_who_does_not_read(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up as any session's client is."""
    monkeypatch.setattr(asynchronous, "_STALLED_S", 0.05)

    def leaves() -> Steps:
        yield b"x" * 10_000_000
        yield GiveBack(b"abc")

    one = begin(leaves())
    assert one.has_ended()

    assert one.unread is None
    assert one.server.fileno() == -1


def test_no_more_is_read_than_can_be_given_back(make: Begin) -> None:
    """While a session asks for nothing, less than twice of what is read at once; all else waits."""
    sent = bytes(range(256)) * 100

    def leaves() -> Steps:
        yield Receive(30.0)
        yield Work(lambda: one.client.sendall(sent))
        yield Work(lambda: one.in_loop(lambda: None))  # others have had their turn
        yield Work(lambda: one.in_loop(lambda: None))
        yield GiveBack(b"")

    one = make(leaves(), 1000).start()
    copy = one.server.dup()
    one.client.sendall(b"x")
    assert one.has_ended()

    assert one.unread is not None and 0 < len(one.unread) < 2000
    assert one.unread + copy.recv(1 << 20) == sent
    copy.close()


def test_receive_times_out(begin: Begin) -> None:
    """A session that waits for a client that says nothing is told so."""

    def waits() -> Steps:
        woken = yield Receive(0.01)
        yield str(woken).encode()

    one = begin(waits())
    assert one.rest() == str(Wake.TIMEOUT).encode()


def test_end_of_input_is_not_the_end_of_output(begin: Begin) -> None:
    """A client that has shut its side down gets all that it asked for before."""

    def asks() -> Steps:
        heard = b""
        while data := (yield Receive(30.0)):
            heard += data
        yield b"heard " + heard

    one = begin(asks())
    one.client.sendall(b"all")
    one.client.shutdown(socket.SHUT_WR)
    assert one.rest() == b"heard all"


def test_work_runs_in_a_thread_and_its_error_comes_back(begin: Begin) -> None:
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

    one = begin(works())
    assert one.rest() == b"work\ndisk"


def test_session_that_fails_ends_alone(begin: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    """An exception nobody caught is logged; the connection closes and its end is told."""

    def broken() -> Steps:
        yield b"x"
        raise ValueError("a bug")

    one = begin(broken())
    assert one.rest() == b"x"
    assert one.has_ended()
    assert "ERR: ValueError: a bug" in capfd.readouterr().err


def test_client_that_vanishes_amid_a_response(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is blocked by a client that does not read ends when that client has gone."""
    seen: list[str] = []

    def endless() -> Steps:
        try:
            while True:
                yield Unfinished(b"x" * 65536)
        except ClientGone:
            seen.append("gone")

    one = begin(endless())
    one.receive(100)
    one.client.close()
    assert one.has_ended()
    assert seen == ["gone"]


def test_client_that_does_not_read_is_given_up(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without progress the connection is cut, and the session told."""
    monkeypatch.setattr(asynchronous, "_STALLED_S", 0.05)
    seen: list[str] = []

    def endless() -> Steps:
        try:
            while True:
                yield b"x" * 65536
        except ClientGone:
            seen.append("gone")

    one = begin(endless())
    assert one.has_ended()
    assert seen == ["gone"]


def test_finished_session_whose_client_does_not_read(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left to write doesn't keep a connection for ever."""
    monkeypatch.setattr(asynchronous, "_STALLED_S", 0.05)

    def long() -> Steps:
        yield b"x" * (8 << 20)

    one = begin(long())
    assert one.has_ended()


def test_end_is_told_only_when_all_is_written(begin: Begin) -> None:
    """The last octets reach a slow client before anybody thinks that the session is over."""

    def long() -> Steps:
        yield b"x" * (4 << 20)

    one = begin(long())
    one.in_loop(lambda: None)
    assert one.endings == 0
    assert len(one.rest()) == 4 << 20
    assert one.has_ended()


def test_stop_while_waiting(begin: Begin) -> None:
    """A session that waits says goodbye at once."""

    def polite() -> Steps:
        try:
            yield b"hello\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    one = begin(polite())
    assert one.receive(6) == b"hello\n"
    one.stop()
    assert one.rest() == b"bye\n"


def test_stop_amid_a_response(begin: Begin) -> None:
    """The response is brought to its end first."""

    def polite() -> Steps:
        try:
            for _ in range(100):
                yield Unfinished(b"x" * 65536)
            yield b"end\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    one = begin(polite())
    one.receive(1)
    one.stop()
    assert one.rest() == b"x" * (100 * 65536 - 1) + b"end\nbye\n"


def test_stop_before_the_first_step(make: Begin) -> None:
    """A session that was passed on while the server stops greets and says goodbye."""

    def polite() -> Steps:
        try:
            yield b"hello\n"
            yield Receive(30.0)
        except ShuttingDown:
            yield b"bye\n"

    one = make(polite())
    one.in_loop(one.connection.stop)
    one.start()
    assert one.rest() == b"hello\nbye\n"


def test_stop_while_a_thread_works(begin: Begin) -> None:
    """The work is waited for, then the session says goodbye."""
    may_end = threading.Event()

    def works() -> Steps:
        try:
            yield b"x"
            yield Work(lambda: may_end.wait(PATIENCE_S))
        except ShuttingDown:
            yield b"bye"

    one = begin(works())
    one.receive(1)
    one.stop()
    may_end.set()
    assert one.rest() == b"bye"


def test_long_work_gives_others_their_turn(begin: Begin) -> None:
    """Between the steps of one session that never waits, another is answered."""

    def endless() -> Steps:
        while True:
            yield b""

    def echo() -> Steps:
        yield (yield Receive(30.0))

    busy = begin(endless())
    other = begin(echo())
    other.client.sendall(b"hello")
    assert other.rest() == b"hello"
    busy.stop()
    assert busy.has_ended()


def test_input_is_not_read_without_end(begin: Begin) -> None:
    """While a session doesn't ask, only so much of what its client sends is taken."""
    may_go_on = threading.Event()
    whole = 32 << 20

    def works() -> Steps:
        yield Work(lambda: may_go_on.wait(PATIENCE_S))
        heard = 0
        while data := (yield Receive(30.0)):
            heard += len(data)
        yield b"%d" % heard

    one = begin(works())
    one.client.setblocking(False)
    sent, taken = 0, -1
    while sent > taken:
        taken = sent
        with contextlib.suppress(BlockingIOError):
            while sent < whole:
                sent += one.client.send(bytes(65536))
        one.in_loop(lambda: None)
        one.in_loop(lambda: None)  # by then it has read what it was woken for
    assert sent < whole
    may_go_on.set()
    one.client.settimeout(PATIENCE_S)
    one.client.sendall(bytes(whole - sent))
    one.client.shutdown(socket.SHUT_WR)
    assert one.rest() == b"%d" % whole


def test_socket_that_is_none(make: Begin) -> None:
    """What can't carry a session is refused when it starts."""

    one = make(iter(()))  # type: ignore[arg-type]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        pytest.raises((OSError, ValueError)),
    ):
        one.in_loop(partial(one.connection.start, datagrams))


def test_look_at_a_watch_without_waiting(begin: Begin, source: Source) -> None:
    """What has changed by then is told; if nothing has, that is."""
    answers: list[object] = []
    mine = Watch(source)

    def session() -> Steps:
        answers.append((yield Receive(0.0, mine)))
        source.change(mine)
        answers.append((yield Receive(0.0, mine)))
        answers.append((yield Receive(0.0, mine)))
        yield b"over"

    one = begin(session())

    assert one.rest() == b"over"
    assert one.has_ended()
    assert answers == [Wake.TIMEOUT, Wake.CHANGED, Wake.TIMEOUT]
