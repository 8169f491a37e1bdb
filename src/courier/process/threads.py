"""Threads for what may block, in a process that a `Loop` drives. None is started before it is needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial

from courier import log
from courier.process.loop import Loop

#: Takes what a call gave, or what it raised.
Done = Callable[[object, BaseException | None], None]


class Threads:
    """At most so many threads; calls wait when all are busy. They end with their process."""

    def __init__(self, loop: Loop, most: int) -> None:
        self._loop = loop
        self._most = most
        self._started = 0
        self._unfinished = 0
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], Done]] = queue.SimpleQueue()

    def call(self, call: Callable[[], object], done: Done) -> None:
        """Call in a thread; then ``done`` in the loop's.

        In the loop's, too, if the system has no room for a single thread.
        """
        self._unfinished += 1
        if self._unfinished > self._started < self._most:
            self._start()
        if self._started:
            self._calls.put((call, done))
        else:
            self._loop.soon(partial(self._finish, done, *_outcome(call)))

    def _start(self) -> None:
        name = f"work_{self._started}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError as error:
            log.line(f"ERR: cannot start thread: {error}")
        else:
            self._started += 1

    def _work(self) -> None:
        while True:
            call, done = self._calls.get()
            self._loop.soon_from_thread(partial(self._finish, done, *_outcome(call)))
            del call, done  # what they hold isn't kept until the next call

    def _finish(self, done: Done, value: object, failure: BaseException | None) -> None:
        self._unfinished -= 1
        done(value, failure)


def _outcome(call: Callable[[], object]) -> tuple[object, BaseException | None]:
    try:
        return call(), None
    except BaseException as error:
        return None, error
