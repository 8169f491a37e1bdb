"""`Limits` against a naive model, and what it says."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from courier.net.limits import Admitted, Limit, Limits, Refused


def admitted(outcome: Admitted | Refused) -> Admitted:
    assert isinstance(outcome, Admitted), outcome
    return outcome


def refused(outcome: Admitted | Refused) -> Refused:
    assert isinstance(outcome, Refused), outcome
    return outcome


@pytest.mark.parametrize(
    ("limits", "ips", "last", "limit", "line"),
    [
        (
            Limits(2, 9), ["192.0.2.1", "198.51.100.1"], "203.0.113.1", Limit.MAX_DAEMONS,
            "ALERT: 2 maximum active connections.",
        ),
        (
            Limits(9, 2), ["192.0.2.1", "::ffff:192.0.2.1"], "::ffff:192.0.2.1", Limit.MAX_PER_IP,
            "ALERT: Maximum connection limit reached for ::ffff:192.0.2.1 (MAXPERIP=2)",
        ),
        (
            Limits(9, 9, 2), ["192.0.2.1", "192.0.2.254"], "192.0.2.7", Limit.MAX_PER_C,
            "ALERT: Maximum connection limit reached for 192.0.2.7 (-maxperc=2)",
        ),
        (
            Limits(9, 9, 2), ["2001:db8::1", "2001:db8::ff"], "2001:db8::2", Limit.MAX_PER_C,
            "ALERT: Maximum connection limit reached for 2001:db8::2 (-maxperc=2)",
        ),
        (
            Limits(9, 2, by_ipv6_network=True), ["2001:db8::1", "2001:db8:0:0:ffff::1"],
            "2001:db8::2", Limit.MAX_PER_IP,
            "ALERT: Maximum connection limit reached for 2001:db8::2 (MAXPERIP=2)",
        ),
    ],
)  # fmt: skip
def test_refusal_names_its_limit(
    limits: Limits, ips: list[str], last: str, limit: Limit, line: str
) -> None:
    """The last connection is one too many for the limit, and the log line says for which."""
    for ip in ips:
        admitted(limits.admit(ip, "login"))

    refusal = refused(limits.admit(last, "login"))

    assert (refusal.limit, refusal.log_line) == (limit, line)
    assert len(limits) == len(ips)


@pytest.mark.parametrize(
    ("limits", "first", "second"),
    [
        (Limits(9, 1), "192.0.2.1", "192.0.2.2"),
        (Limits(9, 9, 1), "192.0.2.1", "192.0.3.1"),
        (Limits(9, 9, 1), "2001:db8::1", "2001:db8::100"),
        (Limits(9, 1), "2001:db8::1", "2001:db8::2"),
        (Limits(9, 1, by_ipv6_network=True), "2001:db8::1", "2001:db8:0:1::1"),
        (Limits(9, 1, by_ipv6_network=True), "192.0.2.1", "192.0.2.2"),
        (Limits(9, 1), "fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_neighbours_do_not_count(limits: Limits, first: str, second: str) -> None:
    """An address outside of the counted range is admitted beside a full one."""
    admitted(limits.admit(first, "login"))

    assert isinstance(limits.admit(first, "login"), Refused)
    admitted(limits.admit(second, "login"))


def test_max_per_ip_of_the_access_file_replaces_the_setting() -> None:
    """MAXCPERIP allows more, or less, than MAXPERIP."""
    limits = Limits(9, 2)

    for _ in range(3):
        admitted(limits.admit("192.0.2.1", "login", max_per_ip=3))

    assert refused(limits.admit("192.0.2.1", "login", max_per_ip=3)).allowed == 3
    assert refused(limits.admit("192.0.2.1", "login")).allowed == 2


def test_release_twice_counts_once() -> None:
    """A connection that both its processes report as ended is given back once."""
    limits = Limits(9, 1)
    first = admitted(limits.admit("192.0.2.1", "login"))

    assert limits.release(first) is True
    second = admitted(limits.admit("192.0.2.1", "login"))
    assert limits.release(first) is False

    assert isinstance(limits.admit("192.0.2.1", "login"), Refused)
    assert limits.release(second) is True
    assert len(limits) == 0


def test_holder_that_dies_gives_up_what_it_holds() -> None:
    """What was handed over before stays counted; what is told of the dead one later changes nothing."""
    limits = Limits(9, 9)
    kept = admitted(limits.admit("192.0.2.1", "login"))
    lost = admitted(limits.admit("192.0.2.1", "login"))
    assert limits.hand_over(kept, "worker") is True

    assert limits.release_all("login") == 1

    assert len(limits) == 1
    assert limits.hand_over(lost, "worker") is False
    assert limits.release(lost) is False
    assert limits.release_all("login") == 0
    assert limits.release_all("worker") == 1


def test_new_limits_keep_connections_above_them() -> None:
    limits = Limits(9, 9)
    for _ in range(5):
        admitted(limits.admit("192.0.2.1", "login"))

    limits.set(3, 3)

    assert (len(limits), limits.is_full) == (5, True)


def test_notices_come_once_a_minute() -> None:
    """Courier: 5 slots warn from 4 on, and being full is said apart from that."""
    limits = Limits(5, 9)
    said = []
    for second in range(5):
        admitted(limits.admit("192.0.2.1", "login"))
        said.append(limits.notice(float(second)))

    assert said == [
        None, None, None, "WARN: 4 active connections.", "ALERT: 5 maximum active connections."
    ]  # fmt: skip
    assert limits.notice(63.9) is None
    assert limits.notice(64.0) == "ALERT: 5 maximum active connections."


@pytest.mark.parametrize(("max_daemons", "first_warning"), [(40, 35), (5, 4), (100, 89)])
def test_warning_threshold(max_daemons: int, first_warning: int) -> None:
    """Courier's own threshold, in integers."""
    limits = Limits(max_daemons, max_daemons)
    while limits.notice(0.0) is None:
        limits.admit("192.0.2.1", "login")

    assert len(limits) == first_warning


IPS = ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1", "2001:db8::2")
HOLDERS = ("login 1", "login 2", "worker 1", "worker 2")


def octets(ip: str) -> bytes:
    """The model's own reading of an address."""
    address = ipaddress.ip_address(ip)
    if address.version == 4:
        address = ipaddress.ip_address(f"::ffff:{ip}")
    return address.packed


class Model(RuleBasedStateMachine):
    """A list of connections, counted anew each time."""

    MAX_DAEMONS, MAX_PER_IP, MAX_PER_C = 7, 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(self.MAX_DAEMONS, self.MAX_PER_IP, self.MAX_PER_C)
        self.live: dict[Admitted, tuple[str, str]] = {}
        self.all: list[Admitted] = []

    @rule(ip=st.sampled_from(IPS), holder=st.sampled_from(HOLDERS))
    def admit(self, ip: str, holder: str) -> None:
        counted = [octets(one) for one, _ in self.live.values()]
        same = sum(one == octets(ip) for one in counted)
        block = sum(one[:15] == octets(ip)[:15] for one in counted)

        outcome = self.limits.admit(ip, holder)

        if len(counted) >= self.MAX_DAEMONS:
            assert refused(outcome).limit is Limit.MAX_DAEMONS
        elif same >= self.MAX_PER_IP:
            assert refused(outcome).limit is Limit.MAX_PER_IP
        elif block >= self.MAX_PER_C:
            assert refused(outcome).limit is Limit.MAX_PER_C
        else:
            assert admitted(outcome) not in self.all
            self.live[admitted(outcome)] = (ip, holder)
            self.all.append(admitted(outcome))

    @rule(which=st.integers(0, 1000), holder=st.sampled_from(HOLDERS))
    def hand_over(self, which: int, holder: str) -> None:
        if self.all:
            one = self.all[which % len(self.all)]
            assert self.limits.hand_over(one, holder) == (one in self.live)
            if one in self.live:
                self.live[one] = (self.live[one][0], holder)

    @rule(which=st.integers(0, 1000))
    def release(self, which: int) -> None:
        if self.all:
            one = self.all[which % len(self.all)]
            assert self.limits.release(one) == (self.live.pop(one, None) is not None)

    @rule(holder=st.sampled_from(HOLDERS))
    def holder_dies(self, holder: str) -> None:
        held = [one for one, (_, its) in self.live.items() if its == holder]
        assert self.limits.release_all(holder) == len(held)
        for one in held:
            del self.live[one]

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.limits) == len(self.live)
        assert self.limits.is_full == (len(self.live) >= self.MAX_DAEMONS)

    def teardown(self) -> None:
        """Nothing is left behind when all have gone, in memory either."""
        for holder in HOLDERS:
            self.limits.release_all(holder)
        assert not self.limits._addresses
        assert not self.limits._blocks
        assert not self.limits._held


TestModel = pytest.mark.slow(Model.TestCase)
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
