"""imapd.login: the time there is to log in. What clients see of the rest is in tests/daemons."""

from __future__ import annotations

import time

import pytest

from courier.log import Peer
from courier.process.login_request import Answer, Authenticate, Pause, StartTls, Stranger
from courier.process.message import Kind
from courier.process.request import Receive, Wake
from imapd.login import LOGIN_S, Login
from imapd.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def login(*, has_tls: bool = False) -> Login:
    return Login(Settings(starttls=True), Stranger(Peer("::1", "1"), "::1", 143), has_tls=has_tls)


def test_silent_client(clock: Clock) -> None:
    """After 60 seconds it is told goodbye."""
    steps = login().run()
    assert next(steps).startswith(b"* OK ")  # type: ignore[union-attr]
    assert next(steps) == Receive(LOGIN_S)

    said = steps.send(Wake.TIMEOUT)

    assert said == b"* BYE Disconnected for inactivity.\r\n"
    with pytest.raises(StopIteration):
        next(steps)


def test_client_that_sends_an_octet_now_and_then(clock: Clock) -> None:
    """The 60 seconds are counted from the connection on, not from the last octet."""
    steps = login().run()
    next(steps)
    waited = next(steps)
    for second in range(1, 60):
        clock.now += 1.0
        waited = steps.send(b"x")
        assert waited == Receive(LOGIN_S - second)
    clock.now += 1.0
    assert steps.send(b"x") == Receive(0.0)


@pytest.mark.parametrize(
    "sent",
    [
        b"a LOGIN " + b"x" * 20_000,
        b"a LOGIN " + b"x" * 20_000 + b"\r\n",
        b"a LOGIN {9000}\r\n",
        b"a LOGIN {9000+}\r\n" + b"x" * 9000 + b" y\r\n",
        b"a LOGIN " + b"{1000+}\r\n" + b"x" * 1000 + b" {8192+}\r\n" * 2 + b"x" * 8000,
        b"a LOGIN" + b" {3+}\r\nabc" * 2000 + b"\r\n",
    ],
)
def test_more_than_a_log_in_needs(clock: Clock, sent: bytes) -> None:
    """The connection ends once 16 KiB of a command, or 8 KiB of a literal, are passed."""
    steps = login().run()
    next(steps)
    next(steps)
    said = steps.send(sent)
    if isinstance(said, Receive):  # the rest of what can't be kept is passed over
        said = steps.send(b"x" * 9000 + b"\r\n")

    assert said == b"* BYE [ALERT] IMAP command too long.\r\n"
    with pytest.raises(StopIteration):
        next(steps)


def test_wrong_password_at_the_last_moment(clock: Clock) -> None:
    """The pause before the answer is no longer than the time that is left."""
    steps = login().run()
    next(steps)
    next(steps)
    clock.now += 58.0
    asked = steps.send(b"a LOGIN u wrong\r\n")
    assert isinstance(asked, Authenticate)
    assert steps.send(Answer(Kind.REJECTED)) == Pause(2.0)
    assert next(steps) == b"a NO Login failed.\r\n"


def test_handshake_has_what_time_is_left(clock: Clock) -> None:
    """STARTTLS gives no second minute."""
    steps = login(has_tls=True).run()
    next(steps)
    next(steps)
    clock.now += 45.0
    assert steps.send(b"a STARTTLS\r\n") == b"a OK Begin SSL/TLS negotiation now.\r\n"
    assert next(steps) == StartTls(15.0)
