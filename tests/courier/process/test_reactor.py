"""What a master waits for."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from courier.process.reactor import EVENT_READ, Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def ready() -> Iterator[list[socket.socket]]:
    """Two sockets that something can be read from."""
    pairs = [socket.socketpair() for _ in range(2)]
    for _, there in pairs:
        there.send(b"x")
    yield [here for here, _ in pairs]
    for pair in pairs:
        for end in pair:
            end.close()


def test_descriptor_that_another_call_has_ended(
    reactor: Reactor, ready: list[socket.socket]
) -> None:
    """Of two that are ready at once, the one that is forgotten meanwhile is not called."""
    called: list[int] = []

    def call(own: socket.socket, other: socket.socket) -> None:
        called.append(own.fileno())
        reactor.forget(other.fileno())
        other.close()

    first, second = ready
    reactor.watch(first.fileno(), EVENT_READ, lambda: call(first, second))
    reactor.watch(second.fileno(), EVENT_READ, lambda: call(second, first))

    reactor.turn()

    assert len(called) == 1


def test_call_that_raises_is_logged(
    reactor: Reactor, ready: list[socket.socket], capfd: pytest.CaptureFixture[str]
) -> None:
    """Others are called as if nothing had happened: all sessions end with the master."""
    called: list[str] = []

    def fails() -> None:
        called.append("failing")
        raise ValueError("a bug")

    for one in ready:
        reactor.watch(one.fileno(), EVENT_READ, fails)
    reactor.at(0.0, fails)
    reactor.at(0.0, lambda: called.append("timer"))

    reactor.turn()

    assert called == ["failing"] * 3 + ["timer"]
    assert capfd.readouterr().err.count("ERR: ValueError: a bug") == 3


def test_number_of_a_descriptor_that_another_call_has_ended(
    reactor: Reactor, ready: list[socket.socket]
) -> None:
    """What is watched under the same number since has nothing to read, and is not called."""
    called: list[str] = []
    made: list[socket.socket] = []

    def call(other: socket.socket) -> None:
        called.append("ready")
        number = other.fileno()
        reactor.forget(number)
        other.close()
        made.extend(socket.socketpair())
        new = next(end for end in made if end.fileno() == number)
        reactor.watch(new.fileno(), EVENT_READ, lambda: called.append("new"))

    first, second = ready
    reactor.watch(first.fileno(), EVENT_READ, lambda: call(second))
    reactor.watch(second.fileno(), EVENT_READ, lambda: call(first))

    reactor.turn()

    assert called == ["ready"]
    for end in made:
        end.close()
