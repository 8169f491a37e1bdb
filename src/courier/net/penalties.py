"""How long failed log-ins wait for their answer: longer, the more there were of late.

They are counted by the client's address (IPv6: its /64) and by userid, whichever is more. Only failures
wait: who knows the password is let in at once, whatever others have tried. Nobody is held up but the
connection itself, which MAXPERIP counts.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import os
from dataclasses import dataclass

#: Seconds of one step. Courier: five, whatever was before.
STEP_S = 5.0
#: Failures until there is a step more, and the most steps.
_FAILURES = 5
_MOST_STEPS = 6
#: Seconds after which one failure is forgotten.
_FORGIVEN_S = 60.0
#: Addresses and userids that are remembered; those that have not failed for longest make room.
_REMEMBERED = 20_000


@dataclass(slots=True)
class _Count:
    failures: float
    at: float


class Penalties:
    """The failures of one daemon."""

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._counts: dict[bytes, _Count] = {}

    def failed(self, ip: str, userid: bytes, now: float) -> int:
        """Count a failure, of an empty userid if it isn't known; give the steps it has to wait."""
        names = [b"ip " + network(ip)]
        if userid:
            names.append(hashlib.blake2b(userid, key=self._key, digest_size=16).digest())
        failures = max(self._count(name, now) for name in names)
        return min(_MOST_STEPS, 1 + int((failures - 1) / _FAILURES))

    def _count(self, name: bytes, now: float) -> float:
        known = self._counts.pop(name, None)
        left = 0.0 if known is None else known.failures - (now - known.at) / _FORGIVEN_S
        counted = min(max(left, 0.0) + 1, float(_MOST_STEPS * _FAILURES))
        self._counts[name] = _Count(counted, now)
        if len(self._counts) > _REMEMBERED:
            del self._counts[next(iter(self._counts))]
        return counted


def pause_s(elapsed_s: float, steps: int) -> float:
    """Give the seconds until a failure is answered whose check began ``elapsed_s`` ago.

    Answers come at whole steps alone. So nothing is told by the time that a check takes, which may
    depend on who exists.
    """
    whole = max(steps, -int(-elapsed_s // STEP_S), 1)
    return whole * STEP_S - elapsed_s


@functools.lru_cache(4096)
def network(ip: str) -> bytes:
    """Give what tells clients apart: an IPv4 address, or the /64 of an IPv6 address."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return mapped.packed if mapped is not None else address.packed[:8]
    return address.packed
