"""MAXDAEMONS, MAXPERIP and -maxperc: how many connections at once, in all and from where.

Master keeps these counts for all processes of one daemon. A connection counts from accept until its
last process lets go of it: it has a holder (the login process, later the worker), it may change
hands, and a holder that dies gives up all it held. Whatever order these things are told in, every
connection is counted once and given back once.

Courier: an address and a block are compared as 16 octets, IPv4 as IPv4-mapped IPv6. The block of an
address is its first 15 octets: IPv4 /24, IPv6 /120.
"""

import enum
import functools
import ipaddress
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

_MAPPED = b"\0" * 10 + b"\xff\xff"
_BLOCK = 15
_NETWORK = 8  # IPv6 /64
_PAUSE_S = 60.0
_REMEMBERED = 4096  # addresses


class Limit(enum.Enum):
    """A limit, under the name an administrator sets it by."""

    MAX_DAEMONS = "MAXDAEMONS"
    MAX_PER_IP = "MAXPERIP"
    MAX_PER_C = "-maxperc"


@dataclass(frozen=True, slots=True)
class Admitted:
    """One connection's place among all. It is given back once; what comes later changes nothing."""

    number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Which limit stood at what when ``ip`` was refused, and the line for the log."""

    limit: Limit
    allowed: int
    ip: str

    @property
    def log_line(self) -> str:
        """Courier's line, and behind it which limit it was; Courier says nothing for -maxperc."""
        if self.limit is Limit.MAX_DAEMONS:
            return f"ALERT: {self.allowed} maximum active connections."
        return (
            f"ALERT: Maximum connection limit reached for {self.ip}"
            f" ({self.limit.value}={self.allowed})"
        )


@dataclass(slots=True)
class _Place:
    address: bytes
    block: bytes
    holder: Hashable


class Limits:
    """The counts of one daemon.

    ``max_per_c``: None for no limit but ``max_daemons``. ``warn_at``: the number of connections
    from which `notice` warns, None for Courier's own. ``by_ipv6_network``: an IPv6 client is its
    whole /64, for both limits, because one client easily has that many addresses.
    """

    def __init__(
        self,
        max_daemons: int,
        max_per_ip: int,
        max_per_c: int | None = None,
        *,
        warn_at: int | None = None,
        by_ipv6_network: bool = False,
    ) -> None:
        self._places: dict[int, _Place] = {}
        self._held: dict[Hashable, set[int]] = {}
        self._addresses: Counter[bytes] = Counter()
        self._blocks: Counter[bytes] = Counter()
        self._next = 0
        self._alerted_s = self._warned_s = float("-inf")
        self.set(
            max_daemons,
            max_per_ip,
            max_per_c,
            warn_at=warn_at,
            by_ipv6_network=by_ipv6_network,
        )

    def set(
        self,
        max_daemons: int,
        max_per_ip: int,
        max_per_c: int | None = None,
        *,
        warn_at: int | None = None,
        by_ipv6_network: bool = False,
    ) -> None:
        """Take new limits, at a reload. Connections above them stay, counted as they were."""
        self._by_ipv6_network = by_ipv6_network
        self._max_daemons = max_daemons
        self._max_per_ip = max_per_ip
        self._max_per_c = max_daemons if max_per_c is None else max_per_c
        # Courier: 40 warns from 35, 5 from 4.
        self._warn_at = max_daemons - (max_daemons // 10 + 1) if warn_at is None else warn_at

    def __len__(self) -> int:
        return len(self._places)

    @property
    def is_full(self) -> bool:
        """Whether to stop accepting: further clients wait in the kernel's backlog, as in Courier."""
        return len(self._places) >= self._max_daemons

    def admit(self, ip: str, holder: Hashable, max_per_ip: int | None = None) -> Admitted | Refused:
        """Count a connection from ``ip`` that ``holder`` accepted, unless a limit is reached.

        ``max_per_ip``: the access file's MAXCPERIP for this address.
        """
        address = self._octets(ip)
        block = address[:_BLOCK]
        per_ip = self._max_per_ip if max_per_ip is None else max_per_ip
        if self.is_full:
            return Refused(Limit.MAX_DAEMONS, self._max_daemons, ip)
        if self._addresses[address] >= per_ip:
            return Refused(Limit.MAX_PER_IP, per_ip, ip)
        if self._blocks[block] >= self._max_per_c:
            return Refused(Limit.MAX_PER_C, self._max_per_c, ip)

        admitted = Admitted(self._next)
        self._next += 1
        self._places[admitted.number] = _Place(address, block, holder)
        self._held.setdefault(holder, set()).add(admitted.number)
        self._addresses[address] += 1
        self._blocks[block] += 1
        return admitted

    def hand_over(self, admitted: Admitted, holder: Hashable) -> bool:
        """Give a connection to another holder; False if it is no longer counted."""
        place = self._places.get(admitted.number)
        if place is None:
            return False
        self._let_go(admitted.number, place)
        place.holder = holder
        self._held.setdefault(holder, set()).add(admitted.number)
        return True

    def release(self, admitted: Admitted) -> bool:
        """Count a connection no longer; False if it wasn't counted any more."""
        place = self._places.pop(admitted.number, None)
        if place is None:
            return False
        self._let_go(admitted.number, place)
        _lower(self._addresses, place.address)
        _lower(self._blocks, place.block)
        return True

    def release_all(self, holder: Hashable) -> int:
        """Count nothing that ``holder`` held any longer, because it died; return how many."""
        return sum(self.release(Admitted(number)) for number in sorted(self._held.get(holder, ())))

    def notice(self, now_s: float) -> str | None:
        """Return the line to log after a connection was admitted, each kind at most once a minute."""
        active = len(self._places)
        if active >= self._max_daemons:
            if now_s - self._alerted_s >= _PAUSE_S:
                self._alerted_s = now_s
                return f"ALERT: {active} maximum active connections."
        elif active >= self._warn_at and now_s - self._warned_s >= _PAUSE_S:
            self._warned_s = now_s
            return f"WARN: {active} active connections."
        return None

    def _octets(self, ip: str) -> bytes:
        octets = _packed(ip)
        if self._by_ipv6_network and not octets.startswith(_MAPPED):
            return octets[:_NETWORK].ljust(16, b"\0")
        return octets

    def _let_go(self, number: int, place: _Place) -> None:
        held = self._held[place.holder]
        held.remove(number)
        if not held:
            del self._held[place.holder]


@functools.lru_cache(_REMEMBERED)
def _packed(ip: str) -> bytes:
    """Give an address as 16 octets. Clients come again, and reading their text takes its time."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return address.packed if address.version == 6 else _MAPPED + address.packed


def _lower(counts: Counter[bytes], key: bytes) -> None:
    """Take one away, and forget a count of nothing: there are more addresses than memory."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
