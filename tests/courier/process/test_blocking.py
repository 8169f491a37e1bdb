"""courier.process.blocking: a session on a pair of descriptors."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from courier.process import blocking
from courier.process.blocking import drive
from courier.process.request import (
    ClientGone,
    Receive,
    ShuttingDown,
    Steps,
    Wake,
    Work,
)
from tests.support.open_files import open_before, open_now

PATIENCE_S = 30.0
NOBODY = 65534


class Pipes:
    """Two pipes: what the client types, and what it sees."""

    def __init__(self) -> None:
        self.source, self.typing = os.pipe()
        self.seeing, self.sink = os.pipe()
        self._open = {self.source, self.typing, self.seeing, self.sink}

    def type(self, data: bytes) -> None:
        os.write(self.typing, data)

    def hang_up(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)

    def seen(self) -> bytes:
        """What the client has seen by now; the pipe must not be full."""
        os.set_blocking(self.seeing, False)
        try:
            return os.read(self.seeing, 1 << 20)
        except BlockingIOError:
            return b""

    def drive(self, session: Steps) -> None:
        drive(session, self.source, self.sink)

    def close(self) -> None:
        for descriptor in self._open:
            os.close(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    """Pipes; the driver must close what it opened and put signal handlers back."""
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    before = open_before()
    made = Pipes()
    yield made
    made.close()
    assert open_now() == before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers
    assert signal.set_wakeup_fd(-1) == -1


# --- Input and output ---------------------------------------------------------------------------


def test_dialog(pipes: Pipes) -> None:
    """Output is written in order, before the driver waits for input; the end of input is empty."""
    received: list[object] = []

    def session() -> Steps:
        yield b"* "
        yield b""
        yield b"OK\r\n"
        received.append((yield Receive(PATIENCE_S)))
        assert pipes.seen() == b"* OK\r\n"
        pipes.hang_up(pipes.typing)
        received.append((yield Receive(PATIENCE_S)))
        yield b"* BYE\r\n"

    pipes.type(b"a NOOP\r\n")
    pipes.drive(session())

    assert received == [b"a NOOP\r\n", b""]
    assert pipes.seen() == b"* BYE\r\n"


def test_output_is_gathered(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small chunks are few writes; much output is not kept in memory until the end."""
    written: list[bytes] = []
    monkeypatch.setattr(blocking.Sink, "write", lambda _, data: written.append(data))

    def session() -> Steps:
        for _ in range(1000):
            yield b"x" * 100
        yield b"y" * 10

    pipes.drive(session())

    assert b"".join(written) == b"x" * 100_000 + b"y" * 10
    assert len(written) == 2 and len(written[0]) < 70_000


def test_timeout(pipes: Pipes) -> None:
    """No input in time is told as such, and what comes later is still read."""
    answers: list[object] = []

    def session() -> Steps:
        answers.append((yield Receive(0)))
        answers.append((yield Receive(0.001)))
        pipes.type(b"late")
        answers.append((yield Receive(PATIENCE_S)))

    pipes.drive(session())

    assert answers == [Wake.TIMEOUT, Wake.TIMEOUT, b"late"]


@pytest.mark.parametrize(
    "number", [errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EIO]
)
def test_read_error_is_the_end_of_input(
    pipes: Pipes, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a connection breaks, it is the client that has gone, no fault of ours."""
    answers: list[object] = []

    def session() -> Steps:
        pipes.type(b"x")
        monkeypatch.setattr(blocking.os, "read", _raising(OSError(number, os.strerror(number))))
        answers.append((yield Receive(PATIENCE_S)))
        monkeypatch.undo()

    pipes.drive(session())

    assert answers == [b""]


def _raising(error: OSError) -> Any:
    def raising(*_arguments: object) -> bytes:
        raise error

    return raising


# --- Watching -----------------------------------------------------------------------------------


class Source:
    """A descriptor through which several watches are told of changes."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.concerned: list[Watch] = []

    def fileno(self) -> int:
        return self.reading

    def collect(self) -> Collection[Watch]:
        os.read(self.reading, 100)
        concerned, self.concerned = self.concerned, []
        return concerned

    def change(self, *watches: Watch) -> None:
        self.concerned += watches
        os.write(self.writing, b"!")

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Watch:
    def __init__(self, source: Source) -> None:
        self.source = source


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.close()


def test_watch(pipes: Pipes, source: Source) -> None:
    """A change wakes the session; input comes first, and no change is lost by it."""
    answers: list[object] = []
    mine = Watch(source)

    def session() -> Steps:
        source.change(mine)
        answers.append((yield Receive(PATIENCE_S, mine)))
        pipes.type(b"DONE\r\n")
        source.change(mine)
        answers.append((yield Receive(PATIENCE_S, mine)))
        answers.append((yield Receive(PATIENCE_S, mine)))
        answers.append((yield Receive(0, mine)))

    pipes.drive(session())

    assert answers == [Wake.CHANGED, b"DONE\r\n", Wake.CHANGED, Wake.TIMEOUT]


def test_change_that_concerns_another_watch(pipes: Pipes, source: Source) -> None:
    """It wakes nobody here, and is not waited for again and again."""
    answers: list[object] = []

    def session() -> Steps:
        source.change(Watch(source))
        answers.append((yield Receive(0.01, Watch(source))))

    pipes.drive(session())

    assert answers == [Wake.TIMEOUT]


# --- Work ---------------------------------------------------------------------------------------


def test_work(pipes: Pipes) -> None:
    """Its value is the answer; what it raises is raised where it was asked for."""
    answers: list[object] = []

    def session() -> Steps:
        answers.append((yield Work(lambda: 42)))
        try:
            yield Work(_raising(OSError(errno.ENOSPC, "full")))
        except OSError as error:
            answers.append(error.errno)
        answers.append((yield Work(lambda: None)))

    pipes.drive(session())

    assert answers == [42, errno.ENOSPC, None]


def test_error_of_the_session(pipes: Pipes) -> None:
    """It is the caller's to report."""

    def session() -> Steps:
        yield b"* OK\r\n"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pipes.drive(session())


# --- Clients that go ----------------------------------------------------------------------------


def test_client_that_reads_no_more(pipes: Pipes) -> None:
    """ClientGone is thrown in where output is due, and nothing is written after it."""
    thrown: list[type[BaseException]] = []

    def session() -> Steps:
        pipes.hang_up(pipes.seeing)
        yield b"x"
        try:
            yield Receive(PATIENCE_S)
        except ClientGone:
            thrown.append(ClientGone)

    pipes.drive(session())

    assert thrown == [ClientGone]


def test_client_gone_at_the_end(pipes: Pipes) -> None:
    """A session that is over has nobody to be told."""

    def session() -> Steps:
        pipes.hang_up(pipes.seeing)
        yield b"* BYE\r\n"

    pipes.drive(session())


@contextmanager
def refusing(pipe: int) -> Iterator[None]:
    """Have the pipe belong to somebody else, who lets nobody open it."""
    os.fchmod(pipe, 0)
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(os.getuid())


@pytest.mark.parametrize("kind", ["pipe", "another's pipe", "socket"])
def test_client_that_does_not_read(
    pipes: Pipes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given up when it has made no progress for the time allowed."""
    monkeypatch.setattr(blocking, "_STALLED_S", 0.01)
    ours, theirs = socket.socketpair()
    thrown: list[bool] = []

    def session() -> Steps:
        try:
            while True:
                yield b"x" * 65536
        except ClientGone:
            thrown.append(True)

    with ours, theirs, refusing(pipes.sink) if kind == "another's pipe" else nullcontext():
        drive(session(), pipes.source, ours.fileno() if kind == "socket" else pipes.sink)

    assert thrown == [True]


@pytest.mark.parametrize("kind", ["pipe", "another's pipe", "socket"])
def test_slow_client(pipes: Pipes, kind: str) -> None:
    """Everything arrives, and the descriptor given is left as blocking as it was."""
    ours, theirs = socket.socketpair()
    seen = bytearray()

    def read_slowly(descriptor: int) -> None:
        while len(seen) < 1_000_000:
            seen.extend(os.read(descriptor, 5000))

    def session() -> Steps:
        for _ in range(10):
            yield bytes(range(250)) * 400

    with ours, theirs:
        sink, end = (
            (ours.fileno(), theirs.fileno()) if kind == "socket" else (pipes.sink, pipes.seeing)
        )
        reader = threading.Thread(target=read_slowly, args=(end,))
        reader.start()
        with refusing(sink) if kind == "another's pipe" else nullcontext():
            drive(session(), pipes.source, sink)
        reader.join()
        assert os.get_blocking(sink)

    assert bytes(seen) == bytes(range(250)) * 4000


def test_output_to_a_file(pipes: Pipes, tmp_path: Any) -> None:
    """What the shell wrote there before stays."""
    with open(tmp_path / "log", "wb") as file:
        file.write(b"before\n")
        file.flush()
        drive(iter_session([b"a", b"b"]), pipes.source, file.fileno())
        os.write(file.fileno(), b"after\n")

    assert (tmp_path / "log").read_bytes() == b"before\nabafter\n"


def iter_session(chunks: list[bytes]) -> Steps:
    yield from chunks


# --- Signals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_between_two_steps(pipes: Pipes, number: signal.Signals) -> None:
    """The step at work is finished; then the session may say good-bye, and is told once."""
    done: list[str] = []

    def work() -> None:
        os.kill(os.getpid(), number)
        done.append("worked")

    def session() -> Steps:
        try:
            yield Work(work)
            done.append("not reached")
        except ShuttingDown:
            yield b"* BYE\r\n"
            done.append(str((yield Receive(PATIENCE_S))))  # nothing is waited for any more

    pipes.drive(session())

    assert done == ["worked", "Wake.TIMEOUT"]
    assert pipes.seen() == b"* BYE\r\n"


def test_signal_while_waiting(pipes: Pipes) -> None:
    """It ends the wait at once, though Python's own calls resume after a signal."""
    ended: list[bool] = []
    pid = os.getpid()

    def session() -> Steps:
        timer = threading.Timer(0.01, os.kill, (pid, signal.SIGTERM))
        timer.start()
        try:
            ended.append((yield Receive(PATIENCE_S)) is Wake.TIMEOUT)
        except ShuttingDown:
            ended.append(True)
        timer.join()

    pipes.drive(session())

    assert ended == [True]


def test_signal_before_anything(pipes: Pipes) -> None:
    """A session that ends itself is not disturbed by a signal that comes at its end."""

    def session() -> Steps:
        yield b"* OK\r\n"
        os.kill(os.getpid(), signal.SIGTERM)

    pipes.drive(session())

    assert pipes.seen() == b"* OK\r\n"


def test_output_of_a_command_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not held back until the next command."""
    pipes = Pipes()
    monkeypatch.setattr(blocking, "_FLUSH_AFTER_S", -1.0)
    seen: list[bytes] = []

    def session() -> Steps:
        yield b"* OK Still working\r\n"
        seen.append(pipes.seen())
        yield b"a OK\r\n"

    pipes.drive(session())
    pipes.close()

    assert seen == [b"* OK Still working\r\n"]
