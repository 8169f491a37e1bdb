"""pop3d.login: when a failed log-in is answered. What clients see of the rest is in tests/daemons."""

from __future__ import annotations

import time

import pytest

from courier.log import Peer
from courier.process.login_request import Answer, Authenticate, Pause, Stranger
from courier.process.message import Kind
from pop3d.login import Login
from pop3d.settings import Settings


@pytest.mark.parametrize(
    ("took_s", "told", "pause_s"), [(0.5, "1", 4.5), (6.0, "1", 4.0), (1.0, "3", 14.0)]
)
def test_time_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, took_s: float, told: str, pause_s: float
) -> None:
    """At five seconds or a multiple, whatever the check has taken, or at as many as master says."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    steps = Login(Settings(), Stranger(Peer("::1", "1"), "::1", 110), has_tls=False).run()
    next(steps)
    next(steps)
    for _ in range(2):  # each attempt is its own
        assert steps.send(b"USER u\r\n") == b"+OK Password required.\r\n"
        next(steps)
        assert isinstance(steps.send(b"PASS wrong\r\n"), Authenticate)
        now += took_s
        assert steps.send(Answer(Kind.REJECTED, told)) == Pause(pause_s)
        said = next(steps)
        assert isinstance(said, bytes) and said.endswith(b" Login failed.\r\n")
        next(steps)
