"""What the log says of clients that are turned away: not a line for each of a flood.

Courier: MAXDAEMONS once a minute, MAXPERIP each time. Filters that ban who is turned away again and again
still get what they count, and whoever reads the log is told that there were more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from courier.net.limits import Limit, Limits, Refused
from courier.net.penalties import network

#: Lines in a minute about one address (of IPv6: one /64, of which an attacker has all), and in all.
EACH = 10
IN_ALL = 500
_MINUTE_S = 60.0


class Refusals:
    """Those of one daemon. ``tell`` gets the lines for the log."""

    def __init__(
        self,
        limits: Limits,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._tell = tell
        self._clock = clock
        self._told: Counter[bytes] = Counter()
        self._lines = 0
        self._untold = 0
        self._since_s = float("-inf")

    def above(self, refused: Refused) -> None:
        """Tell of a client for whom there was no place."""
        if refused.limit is Limit.MAX_DAEMONS:
            line = self._limits.notice(self._clock())
            if line is not None:
                self._tell(line)
        elif self._is_told(refused.ip):
            self._tell(refused.log_line)

    def denied(self, ip: str, key: str) -> None:
        """Tell of a client that the access file keeps out."""
        if self._is_told(ip):
            self._tell(f"INFO: access denied by {key} of the access file, ip=[{ip}]")

    def look_at_clock(self) -> None:
        """Once a minute is over, tell how many lines there were not. To be called now and then."""
        now_s = self._clock()
        if now_s - self._since_s < _MINUTE_S:
            return
        if self._untold:
            self._tell(f"WARN: {self._untold} more clients were turned away.")
        self._told.clear()
        self._lines = self._untold = 0
        self._since_s = now_s

    def _is_told(self, ip: str) -> bool:
        self.look_at_clock()
        source = network(ip)
        if self._lines >= IN_ALL or self._told.get(source, 0) >= EACH:
            self._untold += 1
            return False
        self._told[source] += 1
        self._lines += 1
        return True
