"""courier.net.refusals: a flood does not fill the log."""

from __future__ import annotations

import pytest

from courier.net.limits import Limits, Refused
from courier.net.refusals import EACH, IN_ALL, Refusals


class Log:
    """What is told, by a clock of the test's."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.now_s = 100.0
        self.lines: list[str] = []
        self.refusals = Refusals(limits, self.lines.append, lambda: self.now_s)

    def knock(self, ip: str) -> None:
        """Be one client too many."""
        refused = self.limits.admit(ip, "login")
        assert isinstance(refused, Refused)
        self.refusals.above(refused)


@pytest.mark.parametrize("nobody_comes", [True, False])
def test_one_address(nobody_comes: bool) -> None:
    """It gets some lines in each minute, and one that there were more, whoever comes then; others have
    theirs beside it."""
    log = Log(Limits(9, 0))
    line = "ALERT: Maximum connection limit reached for 192.0.2.1 (MAXPERIP=0)"

    for _ in range(3 * EACH):
        log.knock("192.0.2.1")
    log.knock("192.0.2.2")
    log.refusals.look_at_clock()
    log.now_s += 60
    if nobody_comes:
        for _ in range(2):
            log.refusals.look_at_clock()
            log.now_s += 1
    log.knock("192.0.2.1")

    more = f"WARN: {2 * EACH} more clients were turned away."
    assert log.lines == [line] * EACH + [line.replace("2.1 ", "2.2 "), more, line]
    log.now_s += 60
    log.knock("192.0.2.1")
    assert log.lines[-2:] == [line] * 2


def test_addresses_of_one_network() -> None:
    """Who has a /64 has no more lines than anybody, and others have theirs."""
    log = Log(Limits(9, 0))

    for number in range(2 * IN_ALL):
        log.knock(f"2001:db8::{number:x}")
    log.knock("2001:db8:0:1::1")

    assert len(log.lines) == EACH + 1
    assert "2001:db8:0:1::1" in log.lines[-1]


@pytest.mark.parametrize("denied", [True, False])
def test_many_addresses(denied: bool) -> None:
    """All together have so many lines in a minute, and take no more memory than these."""
    log = Log(Limits(9, 9, 0))

    for number in range(2 * IN_ALL):
        ip = f"2001:db8:{number:x}::"
        if denied:
            log.refusals.denied(ip, ":2001")
        else:
            log.knock(ip)

    assert len(log.lines) == IN_ALL
    ends = ("access file, ip=[2001:db8:0::]", "for 2001:db8:0:: (-maxperc=0)")
    assert log.lines[0].endswith(ends)


def test_no_place_in_all() -> None:
    """Courier: once a minute, whether the last place was taken or the next client turned away."""
    log = Log(Limits(1, 9))
    log.limits.admit("192.0.2.1", "login")
    line = "ALERT: 1 maximum active connections."
    assert log.limits.notice(log.now_s) == line

    for _ in range(120):
        log.knock("192.0.2.2")
        log.now_s += 1

    assert log.lines == [line]
    log.knock("192.0.2.3")
    assert log.lines == [line] * 2
