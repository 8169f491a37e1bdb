"""Workers of a module: started when requests wait, never more than the limit, replaced."""

from __future__ import annotations

import selectors
import socket

import pytest

from authdaemond import message, pool
from authdaemond.chain import Answer, Verdict
from authdaemond.message import Order
from authdaemond.pool import Job, Pool
from authdaemond.timers import Timers
from courier.process import channel
from tests.support.open_files import open_before, open_now

DONE = Answer(Verdict.DONE, b"reply")


class Harness:
    """A pool whose master and workers are the test."""

    def __init__(self, limit: int = 2) -> None:
        self.selector = selectors.DefaultSelector()
        self.timers = Timers()
        self.orders: list[tuple[Order, int]] = []
        self.pool = Pool("authx", 3, limit, self._order, self.selector, self.timers)
        self.answers: list[tuple[str, Answer]] = []
        self.parts: list[bytes] = []
        self.workers: list[socket.socket] = []

    def _order(self, kind: Order, number: int) -> None:
        self.orders.append((kind, number))

    def submit(self, name: str) -> Job:
        job = Job(
            [name.encode()],
            lambda data: self.parts.append(data) or True,  # type: ignore[func-returns-value]
            lambda answer: self.answers.append((name, answer)),
        )
        self.pool.submit(job)
        return job

    def deliver(self) -> socket.socket:
        """Be the master: a worker was started."""
        ours, theirs = channel.pair()
        self.workers.append(theirs)
        self.pool.add(len(self.workers), ours)
        return theirs

    def turn(self) -> None:
        for key, mask in self.selector.select(0):
            key.data(mask)
        self.timers.run_due()


@pytest.fixture
def harness() -> Harness:
    return Harness()


def asked(worker: socket.socket) -> bytes | None:
    received = channel.receive(worker)
    return received[0][0] if received else None


def test_workers_are_started_when_requests_wait(harness: Harness) -> None:
    """One for each that waits, two at most; who waits longest is served first."""
    for name in ("a", "b", "c", "d"):
        harness.submit(name)
    assert harness.orders == [(Order.START, 3)] * 2

    first, second = harness.deliver(), harness.deliver()

    assert (asked(first), asked(second)) == (b"a", b"b")
    channel.send(second, message.write_answer(DONE))
    harness.turn()
    assert harness.answers == [("b", DONE)]
    assert asked(second) == b"c"
    assert harness.orders == [(Order.START, 3)] * 2


def test_idle_worker_is_used_before_another_is_started(harness: Harness) -> None:
    harness.submit("a")
    worker = harness.deliver()
    channel.send(worker, message.write_answer(DONE))
    harness.turn()

    harness.submit("b")

    assert asked(worker) == b"a" and asked(worker) == b"b"
    assert len(harness.orders) == 1


def test_crashed_worker_is_a_temporary_failure_and_replaced(harness: Harness) -> None:
    harness = Harness(limit=1)
    harness.submit("a")
    harness.submit("b")
    harness.deliver().close()

    harness.turn()

    assert harness.answers == [("a", Answer(Verdict.TEMPORARY))]
    assert harness.orders == [(Order.START, 3)] * 2
    assert asked(harness.deliver()) == b"b"


def test_worker_that_talks_nonsense_is_let_go(harness: Harness) -> None:
    harness.submit("a")
    worker = harness.deliver()
    channel.send(worker, [b"nonsense"])

    harness.turn()

    assert harness.answers == [("a", Answer(Verdict.TEMPORARY))]
    with pytest.raises(channel.ChannelClosed):
        asked(worker), asked(worker)


def test_worker_that_hangs_is_killed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "ANSWER_S", 0.0)
    harness.submit("a")
    harness.deliver()

    harness.turn()

    assert harness.answers == [("a", Answer(Verdict.TEMPORARY))]
    assert (Order.KILL, 1) in harness.orders


def test_request_that_waited_too_long(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered, and no worker is troubled with it later."""
    monkeypatch.setattr(pool, "WAIT_S", 0.0)
    harness.submit("a")

    harness.turn()

    assert harness.answers == [("a", Answer(Verdict.TEMPORARY))]
    assert asked(harness.deliver()) is None


def test_queue_is_bounded(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONGEST_QUEUE", 2)

    for name in ("a", "b", "c"):
        harness.submit(name)

    assert harness.answers == [("c", Answer(Verdict.TEMPORARY))]


def test_no_worker_can_be_started(harness: Harness) -> None:
    harness.submit("a")

    harness.pool.not_started()

    assert harness.answers == [("a", Answer(Verdict.TEMPORARY))]


def test_idle_worker_goes(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that has done enough, before it leaks."""
    monkeypatch.setattr(pool, "ENOUGH", 1)
    harness.submit("a")
    worker = harness.deliver()
    assert asked(worker) == b"a"
    channel.send(worker, message.write_answer(DONE))

    harness.turn()

    assert harness.answers == [("a", DONE)]
    with pytest.raises(channel.ChannelClosed):
        asked(worker)


def test_pieces_of_a_list(harness: Harness) -> None:
    harness.submit("a")
    worker = harness.deliver()
    for data in (b"one", b"two"):
        channel.send(worker, message.write_part(data))
    channel.send(worker, message.write_answer(Answer(Verdict.DONE)))

    for _ in range(3):
        harness.turn()

    assert harness.parts == [b"one", b"two"]
    assert harness.answers == [("a", Answer(Verdict.DONE))]


def test_given_up(harness: Harness) -> None:
    """Whoever waits is forgotten; a worker in the middle of it is let go."""
    job, other = harness.submit("a"), harness.submit("b")
    worker = harness.deliver()
    assert asked(worker) == b"a"

    harness.pool.give_up(job)
    harness.pool.give_up(other)
    harness.turn()

    assert harness.answers == []
    with pytest.raises(channel.ChannelClosed):
        asked(worker)


def test_descriptor_with_an_answer(harness: Harness) -> None:
    """Nobody wants one, and nobody keeps it."""
    harness.submit("a")
    worker = harness.deliver()
    assert asked(worker) == b"a"
    before = open_before()

    channel.send(worker, message.write_answer(DONE), worker.fileno())
    harness.turn()

    assert harness.answers == [("a", DONE)]
    assert open_now() == before
