"""Log-ins that wait for authdaemond."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from courier.auth.account import Secret
from courier.auth.client import Exchange
from courier.auth.reply import Outcome
from courier.auth.request import Authenticate
from courier.process.child import Login, Pending
from courier.process.inquiries import Inquiries
from courier.process.message import Question
from courier.process.reactor import EVENT_READ, Reactor


@pytest.fixture
def authdaemond(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        yield listening


@pytest.mark.parametrize("is_first", [True, False])
def test_client_that_goes_at_the_moment_of_the_answer(
    authdaemond: socket.socket, *, is_first: bool
) -> None:
    """Either it was answered or it was given up: never first the one and then the other."""
    reactor, answered = Reactor(), []

    def note(child: Login, pending: Pending, outcome: Outcome) -> None:
        answered.append(outcome)
        del child.waiting[pending.request.number]

    inquiries = Inquiries(reactor, note)
    ours, theirs = socket.socketpair()
    child = Login(1, ours, 0.0, 0, is_isolated=False)
    path = authdaemond.getsockname()
    request = Authenticate(b"imap", b"login", b"u", Secret(b"pw"), b"")
    exchange = Exchange(request, path)
    pending = Pending(exchange, Question(1, b"imap", b"login", b"u", b"pw"), None)
    child.waiting[1] = pending

    def release() -> None:
        ours.recv(1)
        if child.waiting.pop(1, None) is not None:
            inquiries.unfollow(pending)
            exchange.close()

    if is_first:
        reactor.watch(ours.fileno(), EVENT_READ, release)
    inquiries.follow(child, pending)
    if not is_first:
        reactor.watch(ours.fileno(), EVENT_READ, release)
    asked, _ = authdaemond.accept()
    with asked, ours, theirs:
        # Both are there when the reactor looks, in one order and in the other.
        if is_first:
            theirs.send(b"x")
            asked.send(b"FAIL\n")
        else:
            asked.send(b"FAIL\n")
            theirs.send(b"x")
        reactor.turn()

    assert len(answered) == (0 if is_first else 1)
    assert not child.waiting
    reactor.close()
