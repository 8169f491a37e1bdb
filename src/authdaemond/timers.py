"""What is due when, for a `selectors` loop."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

#: Cancelled timers are thrown away when there are more of them than of the others, and than this.
_CANCELLED = 1000


class Timer:
    """Something due later; `cancel` it when it isn't any more."""

    __slots__ = ("_timers", "action")

    def __init__(self, timers: Timers, action: Callable[[], None]) -> None:
        self._timers = timers
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        if self.action is not None:
            self.action = None
            self._timers.has_cancelled()


class Timers:
    """Timers by the monotonic clock, soonest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(self, action)
        heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def has_cancelled(self) -> None:
        """Take note of a timer that is not due any more: each log-in leaves some behind."""
        self._cancelled += 1
        if self._cancelled > max(_CANCELLED, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def wait_s(self) -> float | None:
        """Seconds until something is due; None: nothing ever is."""
        while self._heap and self._heap[0][2].action is None:
            self._pop()
        return max(0.0, self._heap[0][0] - time.monotonic()) if self._heap else None

    def run_due(self) -> None:
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            action = self._pop()
            if action is not None:
                action()

    def _pop(self) -> Callable[[], None] | None:
        timer = heapq.heappop(self._heap)[2]
        action, timer.action = timer.action, None
        if action is None:
            self._cancelled -= 1
        return action
