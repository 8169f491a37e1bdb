"""How long failures wait, by what was before, and that the time they take tells nothing."""

from __future__ import annotations

import pytest

from courier.net import penalties
from courier.net.penalties import Penalties, pause_s


def steps(made: Penalties, count: int, ip: str = "192.0.2.1", userid: bytes = b"u") -> list[int]:
    return [made.failed(ip, userid, 1000.0) for _ in range(count)]


def test_more_failures_wait_longer() -> None:
    assert steps(Penalties(), 40) == sorted([1, 2, 3, 4, 5] * 5 + [6] * 15)


@pytest.mark.parametrize(
    ("ip", "userid", "is_new"),
    [
        ("192.0.2.1", b"other", False), ("198.51.100.1", b"u", False), ("198.51.100.1", b"v", True),
        ("::ffff:192.0.2.1", b"", False), ("2001:db8::1", b"", True), ("192.0.2.2", b"", True),
    ],
)  # fmt: skip
def test_address_and_userid_count_each(ip: str, userid: bytes, is_new: bool) -> None:
    """From many addresses against one account, from one address against many."""
    made = Penalties()
    steps(made, 20)
    assert (made.failed(ip, userid, 1000.0) == 1) == is_new


def test_network_of_ipv6() -> None:
    made = Penalties()
    steps(made, 20, "2001:db8::1")
    assert made.failed("2001:db8::ffff", b"", 1000.0) > 1
    assert made.failed("2001:db8:0:1::1", b"", 1000.0) == 1
    assert made.failed("fe80::1%eth0", b"", 1000.0) == 1


def test_forgiven() -> None:
    made = Penalties()
    steps(made, 100)
    assert made.failed("192.0.2.1", b"u", 1000.0 + 60 * 15) == 4
    assert made.failed("192.0.2.1", b"u", 1000.0 + 60 * 100) == 1
    assert made.failed("192.0.2.1", b"u", 0.0) <= 6  # whatever the clock does


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that has not failed for longest is forgotten."""
    monkeypatch.setattr(penalties, "_REMEMBERED", 10)
    made = Penalties()
    steps(made, 20, "192.0.2.1", b"")
    for number in range(8):
        made.failed(f"198.51.100.{number}", b"", 1000.0)
    assert made.failed("192.0.2.1", b"", 1000.0) > 1
    for number in range(20):
        made.failed(f"198.51.100.{number}", b"x" * 100_000, 1000.0)
    assert made.failed("192.0.2.1", b"", 1000.0) == 1
    assert len(made._counts) <= 11


@pytest.mark.parametrize(
    ("elapsed_s", "count", "answered_s"),
    [
        (0.0, 1, 5),
        (0.001, 1, 5),
        (4.9, 1, 5),
        (5.0, 1, 5),
        (5.1, 1, 10),
        (0.3, 3, 15),
        (17.0, 2, 20),
    ],
)
def test_answers_come_at_whole_steps(elapsed_s: float, count: int, answered_s: int) -> None:
    """Whether a check was quick or slow can't be told from the time of the answer."""
    assert elapsed_s + pause_s(elapsed_s, count) == pytest.approx(answered_s)
