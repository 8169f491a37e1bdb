"""The event loop of login processes and workers: descriptors, timers, signals, calls from threads.

One process serves many connections with it, one step of each at a time. asyncio would do the same;
measured, a session of four commands took a third more processor time, and each worker a
megabyte more memory of its own: its transports, tasks and futures are made for more than is needed
here, and what is never loaded is never copied after a fork.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable

from courier import log

#: Descriptors that are looked at in one turn.
_EVENTS_AT_ONCE = 256
#: Cancelled timers are thrown away when there are more of them than of the others, and than this.
_CANCELLED = 1000


class Timer:
    """Something due later."""

    __slots__ = ("_loop", "call", "when")

    def __init__(self, loop: Loop, when: float, call: Callable[[], None]) -> None:
        self._loop = loop
        self.when = when  # by time.monotonic
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Have it not happen, if it hasn't yet."""
        if self.call is not None:
            self.call = None
            self._loop.has_cancelled()


class Loop:
    """Calls back when something is there to be done. Not for use by several threads, but where
    said so."""

    def __init__(self) -> None:
        """Open all descriptors that it will ever need."""
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._cancelled = 0
        self._ties = itertools.count()
        self._is_over = False
        self._from_threads: deque[Callable[[], None]] = deque()
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._woken, select.EPOLLIN, self._on_wake)

    def run(self) -> None:
        """Call back until `stop`. What a call raises is logged: it ends nobody else's work."""
        while not self._is_over:
            for descriptor, events in self._epoll.poll(self._wait_s(), _EVENTS_AT_ONCE):
                call = self._watched.get(descriptor)  # an earlier one may have ended it
                if call is not None:
                    try:
                        call(events)
                    except Exception as error:
                        log.bug("-", "event loop", error)
            self._run_due()

    def stop(self) -> None:
        """Have `run` return after this turn."""
        self._is_over = True

    def close(self) -> None:
        """Close the loop's own descriptors."""
        self._epoll.close()
        os.close(self._woken)
        os.close(self._wake)

    # -- descriptors -----------------------------------------------------------------------

    def watch(self, descriptor: int, events: int, call: Callable[[int], None]) -> None:
        """Call when a descriptor is ready, as long as it is (epoll(7)); replaces a former watch.

        ``call`` may come once more for a descriptor of the same number that was watched before.

        Raises:
            OSError: this kind of descriptor can't be watched.
        """
        if descriptor in self._watched:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._watched[descriptor] = call

    def unwatch(self, descriptor: int) -> None:
        """Watch a descriptor no more; always before it is closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    # -- time ------------------------------------------------------------------------------

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call once, after some seconds."""
        when = time.monotonic() + seconds
        timer = Timer(self, when, call)
        heapq.heappush(self._timers, (when, next(self._ties), timer))
        return timer

    def soon(self, call: Callable[[], None]) -> None:
        """Call in this turn or the next, after others had theirs."""
        self._soon.append(call)

    def has_cancelled(self) -> None:
        """Take note of a timer that is not due any more."""
        self._cancelled += 1
        if self._cancelled > max(_CANCELLED, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if entry[2].call is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _wait_s(self) -> float | None:
        if self._soon or self._is_over:
            return 0
        timers = self._timers
        while timers and timers[0][2].call is None:
            heapq.heappop(timers)
            self._cancelled -= 1
        return max(0.0, timers[0][0] - time.monotonic()) if timers else None

    def _run_due(self) -> None:
        timers = self._timers
        if timers and timers[0][0] <= (now := time.monotonic()):
            while timers and timers[0][0] <= now:
                timer = heapq.heappop(timers)[2]
                call, timer.call = timer.call, None
                if call is None:
                    self._cancelled -= 1
                else:
                    self._soon.append(call)
        for _ in range(len(self._soon)):  # what these add has to wait for the next turn
            try:
                self._soon.popleft()()
            except Exception as error:
                log.bug("-", "event loop", error)

    # -- from elsewhere --------------------------------------------------------------------

    def soon_from_thread(self, call: Callable[[], None]) -> None:
        """As `soon`; any thread may use it."""
        self._from_threads.append(call)
        try:
            os.write(self._wake, b"x")
        except BlockingIOError:
            pass  # it is awake

    def on_signal(self, number: int, call: Callable[[], None]) -> None:
        """Call, between others, when a signal arrives. Only for the process's main thread."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(number, lambda *_: self._soon.append(call))

    def _on_wake(self, events: int) -> None:
        try:
            os.read(self._woken, 4096)
        except BlockingIOError:
            return
        while self._from_threads:
            self._soon.append(self._from_threads.popleft())
