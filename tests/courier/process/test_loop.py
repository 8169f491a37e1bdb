"""courier.process.loop and .threads: what is called, when, and by whom."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from courier.process import loop as loops
from courier.process.loop import Loop, Timer
from courier.process.threads import Threads


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    made.later(30.0, lambda: pytest.fail("nothing happened"))
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_ready_descriptor_until_unwatched(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    """What is there is told again until it is read, and no more once nobody watches."""
    ours, theirs = pair
    theirs.send(b"x")
    seen: list[int] = []

    def ready(events: int) -> None:
        seen.append(events)
        if len(seen) == 2:
            loop.unwatch(ours.fileno())
            loop.later(0.0, lambda: loop.soon(loop.stop))

    loop.watch(ours.fileno(), select.EPOLLIN, ready)
    loop.run()

    assert seen == [select.EPOLLIN, select.EPOLLIN]


def test_descriptor_unwatched_by_one_ready_before_it(loop: Loop) -> None:
    """An event that another's call has made pointless is not told."""
    pairs = [socket.socketpair() for _ in range(2)]
    numbers = {ours.fileno() for ours, _ in pairs}
    seen: list[int] = []

    def ready(number: int) -> None:
        seen.append(number)
        for other in numbers:
            loop.unwatch(other)
        loop.stop()

    for ours, theirs in pairs:
        theirs.send(b"x")
        number = ours.fileno()
        loop.watch(number, select.EPOLLIN, lambda _, number=number: ready(number))
    loop.run()

    assert len(seen) == 1
    for both in pairs:
        for end in both:
            end.close()


def test_timers_come_in_order_and_not_if_cancelled(loop: Loop) -> None:
    """The soonest first, equal ones as they were set."""
    called: list[str] = []
    loop.later(0.002, lambda: called.append("last"))
    loop.later(0.0, lambda: called.append("first"))
    cancelled = loop.later(0.0, lambda: called.append("never"))
    loop.later(0.0, lambda: called.append("second"))
    loop.later(0.003, loop.stop)
    cancelled.cancel()
    cancelled.cancel()

    loop.run()

    assert called == ["first", "second", "last"]


def test_cancelled_timers_are_thrown_away(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set and cancelled all the time does not pile up until it would have been due."""
    monkeypatch.setattr(loops, "_CANCELLED", 10)
    for _ in range(1000):
        loop.later(1800.0, loop.stop).cancel()
        assert len(loop._timers) <= 13
    kept: Timer = loop.later(0.0, loop.stop)

    loop.run()

    assert kept.call is None


def test_what_is_added_waits_for_the_next_turn(loop: Loop) -> None:
    """A call that schedules itself for ever keeps no descriptor waiting."""
    ours, theirs = socket.socketpair()

    def again() -> None:
        loop.soon(again)

    loop.watch(ours.fileno(), select.EPOLLIN, lambda _: loop.stop())
    again()
    theirs.send(b"x")
    loop.run()

    ours.close()
    theirs.close()


def test_call_that_raises_is_logged(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    """Others are called as if nothing had happened."""

    def fails() -> None:
        raise ValueError("a bug")

    loop.soon(fails)
    loop.soon(loop.stop)
    loop.run()

    assert "ERR: ValueError: a bug" in capfd.readouterr().err


def test_signal(loop: Loop) -> None:
    """A signal interrupts the wait; its call comes in the loop, not wherever the signal hit."""
    former, wakeup = signal.getsignal(signal.SIGUSR1), signal.set_wakeup_fd(-1)
    loop.on_signal(signal.SIGUSR1, loop.stop)
    threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, former)
        signal.set_wakeup_fd(wakeup)


def test_file_cannot_be_watched(loop: Loop) -> None:
    """A regular file is always ready, so epoll(7) takes none."""
    with open(__file__) as file, pytest.raises(OSError):
        loop.watch(file.fileno(), select.EPOLLIN, lambda _: None)


# -- threads -------------------------------------------------------------------------------------


def test_values_and_failures_come_back(loop: Loop) -> None:
    """In the loop's thread, from another one."""
    threads = Threads(loop, 1)
    outcomes: list[tuple[object, object, str]] = []

    def done(value: object, failure: BaseException | None) -> None:
        outcomes.append((value, str(failure), threading.current_thread().name))
        if len(outcomes) == 2:
            loop.stop()

    def fails() -> None:
        raise OSError("disk")

    loop.soon(lambda: threads.call(lambda: threading.current_thread().name, done))
    loop.soon(lambda: threads.call(fails, done))
    loop.run()

    here = threading.current_thread().name
    assert set(outcomes) == {(None, "disk", here), ("work_0", "None", here)}


@pytest.mark.parametrize(("most", "names"), [(1, {"work_0"}), (3, {"work_0", "work_1", "work_2"})])
def test_threads_are_started_as_they_are_needed(loop: Loop, most: int, names: set[str]) -> None:
    """One for each call that would wait, up to the limit; then calls wait, and all are made."""
    threads = Threads(loop, most)
    together = threading.Barrier(most)
    seen: list[object] = []

    def works() -> str:
        together.wait(20)
        return threading.current_thread().name

    def done(value: object, failure: BaseException | None) -> None:
        seen.append(value)
        if len(seen) == 2 * most:
            loop.stop()

    for _ in range(2 * most):
        threads.call(works, done)
    loop.run()

    assert set(seen) == names


def test_idle_thread_is_used_again(loop: Loop) -> None:
    """Calls one after the other need one thread."""
    threads = Threads(loop, 8)
    names: list[object] = []

    def once(then: Callable[[], None]) -> None:
        def done(value: object, failure: BaseException | None) -> None:
            names.append(value)
            then()

        threads.call(lambda: threading.current_thread().name, done)

    once(lambda: once(lambda: once(loop.stop)))
    loop.run()

    assert names == ["work_0"] * 3


def test_no_room_for_threads(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A system without room for a thread slows the process down and fails nobody."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    outcomes: list[object] = []

    def done(value: object, failure: BaseException | None) -> None:
        outcomes.append(value)
        loop.stop()

    Threads(loop, 2).call(lambda: 7, done)
    loop.run()

    assert outcomes == [7]
    assert "ERR: cannot start thread: can't start new thread" in capfd.readouterr().err
