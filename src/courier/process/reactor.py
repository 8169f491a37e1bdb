"""What a master waits for: descriptors, timers, signals.

`selectors` does for one that has hundreds of descriptors; login processes and workers, with
thousands, have a loop of their own (`courier.process.loop`).
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable
from selectors import EVENT_READ, EVENT_WRITE

from courier import log

__all__ = ["EVENT_READ", "EVENT_WRITE", "Reactor"]


class Reactor:
    """Calls back when something is there to be done, one thing at a time."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self._signals: set[int] = set()
        self._caught: tuple[int, ...] = ()
        self._ends: tuple[socket.socket, ...] = ()

    def catch(self, numbers: Iterable[int]) -> None:
        """Have `turn` return these signals; each of them wakes it."""
        woken, wake = self._ends = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._caught = tuple(numbers)
        for number in self._caught:
            signal.signal(number, self._note_signal)
        self.watch(woken.fileno(), EVENT_READ, lambda: _drain(woken))

    def _note_signal(self, number: int, frame: object) -> None:
        self._signals.add(number)

    def watch(self, descriptor: int, events: int, call: Callable[[], object]) -> None:
        self._selector.register(descriptor, events, call)

    def forget(self, descriptor: int) -> bool:
        """Watch a descriptor no more; False if it was not watched, or is closed."""
        try:
            self._selector.unregister(descriptor)
        except (KeyError, ValueError):
            return False
        return True

    def at(self, delay_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._ties), call))

    def turn(self) -> set[int]:
        """Wait until something is due, and do all that is. Returns the signals that came.

        What a call raises is logged: one log-in's trouble must not end everybody's session.
        """
        wait_s = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        for key, _ in self._selector.select(wait_s):
            # An earlier one may have ended it, and closed its descriptor.
            if self._selector.get_map().get(key.fd) is key:
                _call(key.data)
        while self._timers and self._timers[0][0] <= time.monotonic():
            _call(heapq.heappop(self._timers)[2])
        signals, self._signals = self._signals, set()
        return signals

    def leave(self) -> None:
        """In a child process: catch nothing any more."""
        signal.set_wakeup_fd(-1)
        for number in self._caught:
            signal.signal(number, signal.SIG_DFL)

    def close(self) -> None:
        for end in self._ends:
            end.close()
        self._selector.close()


def _call(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception as error:
        log.bug("-", "master", error)


def _drain(woken: socket.socket) -> None:
    try:
        while woken.recv(4096):
            pass
    except BlockingIOError:
        pass
