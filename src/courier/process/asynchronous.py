"""The asynchronous driver: many sessions in one process, each over its socket.

A connection drives one generator. Its steps run in the event loop until it asks for something; what
it yields is written, with back-pressure; what may block runs in a thread. Between a session's
chunks the others get their turn.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from courier import log
from courier.process.loop import Loop, Timer
from courier.process.request import (
    ClientGone,
    GiveBack,
    Receive,
    ShuttingDown,
    Steps,
    Unfinished,
    Wake,
    Watch,
    WatchSource,
    Work,
)
from courier.process.stream import READ_AT_ONCE, Stream
from courier.process.threads import Threads

#: Seconds without progress after which a client that does not read is given up.
_STALLED_S = 60.0
#: A session works so long before others get their turn.
_TURN_S = 0.005
_HIGH_WATER = 262_144
#: Output is sent when the session waits; before that, when there is this much.
_SEND_AT_ONCE = 65_536

#: Called when session and socket are done with: with what the client had sent, if the session gives it
#: back.
Ended = Callable[[bytes | None], None]


class Driver:
    """What the connections of one process share: the loop, threads, and the watches' sources."""

    def __init__(self, loop: Loop, threads: int = 8) -> None:
        self.loop = loop
        self.threads = Threads(loop, threads)
        self._waiting: dict[WatchSource, dict[Watch, set[Connection]]] = {}

    def watch(self, connection: Connection, receive: Receive) -> None:
        """Wake ``connection`` when what it watches changes."""
        watch = receive.watch
        assert watch is not None
        waiting = self._waiting.get(watch.source)
        if waiting is None:
            waiting = self._waiting[watch.source] = {}
            changed = partial(self._changed, watch.source)
            self.loop.watch(watch.source.fileno(), select.EPOLLIN, changed)
        waiting.setdefault(watch, set()).add(connection)

    def unwatch(self, connection: Connection, receive: Receive) -> None:
        watch = receive.watch
        assert watch is not None
        waiting = self._waiting[watch.source]
        connections = waiting[watch]
        connections.discard(connection)
        if not connections:
            del waiting[watch]
        if not waiting:
            del self._waiting[watch.source]
            self.loop.unwatch(watch.source.fileno())

    def _changed(self, source: WatchSource, events: int) -> None:
        for watch in source.collect():
            for connection in list(self._waiting.get(source, {}).get(watch, ())):
                connection.wake(Wake.CHANGED)


class Connection:
    """Drives one session over one socket."""

    __slots__ = (
        "_alarm",
        "_at_end",
        "_driver",
        "_due",
        "_ended",
        "_failure",
        "_input",
        "_is_between",
        "_is_busy",
        "_is_done",
        "_output",
        "_output_size",
        "_read_at_once",
        "_receiving",
        "_session",
        "_size",
        "_stalled",
        "_stream",
        "_unsent",
        "_unused",
    )

    def __init__(
        self, driver: Driver, session: Steps, ended: Ended, read_at_once: int = READ_AT_ONCE
    ) -> None:
        """``ended`` is called once.

        Args:
            read_at_once: octets; less than twice as many are read before the session asks for them.
        """
        self._driver = driver
        self._session = session
        self._ended = ended
        self._stream: Stream | None = None
        self._input: deque[bytes] | None = None  # not yet asked for
        self._size = 0
        self._at_end = False
        self._receiving: Receive | None = None
        self._due = 0.0  # when waiting for input ends, by time.monotonic
        self._alarm: Timer | None = None  # rings no later; often too early, and is set anew then
        self._stalled: Timer | None = None
        self._output: list[bytes] = []  # not yet sent
        self._output_size = 0
        self._is_busy = False  # a thread works, or the session's next step is scheduled
        self._failure: BaseException | None = None
        self._is_between = False  # nothing is thrown in before the first step, or amid a response
        self._is_done = False
        self._unsent = 0  # octets, when progress was looked for last
        self._read_at_once = read_at_once
        self._unused: bytes | None = None  # the session gives its client back, and this

    def start(self, connection: socket.socket) -> None:
        """Begin the session. Raises OSError or ValueError if the socket is unusable."""
        if connection.type != socket.SOCK_STREAM:
            raise ValueError("a stream socket is needed")
        connection.setblocking(False)
        self._stream = Stream(self._driver.loop, self, connection, _HIGH_WATER)
        self._stream.read_at_once = self._read_at_once
        self._go_on(None)

    def stop(self) -> None:
        """End the session between two of its steps: the server stops."""
        self._fail(ShuttingDown())

    @property
    def _is_blocked(self) -> bool:
        """Whether the client does not read."""
        return self._stream is not None and self._stream.is_blocked

    # -- the stream's owner ----------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._receiving is not None and not self._input:
            self.wake(data)
            return
        if self._input is None:
            self._input = deque()
        self._input.append(data)
        self._size += len(data)
        if self._size >= self._read_at_once and self._stream is not None:
            self._stream.pause()

    def ended(self) -> None:
        self._at_end = True  # what the session has still to say is written
        if self._receiving is not None and not self._input:
            self.wake(b"")

    def lost(self) -> None:
        self._at_end = True
        self._is_between = True  # no response goes on any more
        self._fail(ClientGone())
        self._stream = None
        if self._stalled is not None:
            self._stalled.cancel()
        if self._is_done:
            self._ended(self._unused)

    def drained(self) -> None:
        if self._is_done:
            return  # the rest has to be taken, too
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self._receiving is None and not self._is_busy:
            self._go_on(None)

    def _watch_progress(self) -> None:
        """Give a client up that takes nothing of what is to be written."""
        if self._stream is not None:
            self._unsent = self._stream.unsent
            self._stalled = self._driver.loop.later(_STALLED_S, self._give_up)

    def _give_up(self) -> None:
        if self._stream is None:
            return
        if self._stream.unsent < self._unsent:
            self._watch_progress()
        else:
            self._unused = None  # it has not heard all
            self._stream.abort()

    # -- the session -----------------------------------------------------------------------

    def wake(self, answer: bytes | Wake) -> None:
        """Answer the `Receive` that the session waits with, if it still does."""
        receiving, self._receiving = self._receiving, None
        if receiving is None:
            return
        if receiving.watch is not None:
            self._driver.unwatch(self, receiving)
        self._go_on(answer)

    def _fail(self, failure: BaseException) -> None:
        """Throw into the session: now if it waits for its client, else at its next step."""
        if self._is_done:
            return
        self._failure = self._failure or failure
        if self._receiving is not None:
            self.wake(Wake.TIMEOUT)
        elif not self._is_busy and not self._is_blocked and self._stream is not None:
            self._go_on(None)

    def _go_on(self, answer: Any, failure: BaseException | None = None) -> None:
        """Run the session's steps until it waits, or its turn is over."""
        self._is_busy = False
        until = time.monotonic() + _TURN_S
        while not self._is_done:
            if self._failure is not None and self._is_between:
                failure, self._failure = self._failure, None
            try:
                step = (
                    self._session.send(answer) if failure is None else self._session.throw(failure)
                )
            except StopIteration:
                self._finish()
                return
            except (ClientGone, ShuttingDown):
                self._finish()
                return
            except Exception as error:
                log.bug("-", "session", error)
                self._finish()
                return
            answer = failure = None
            self._is_between = not isinstance(step, Unfinished)
            if isinstance(step, bytes):
                self._output.append(step)
                self._output_size += len(step)
                is_over = time.monotonic() > until
                if is_over or self._output_size >= _SEND_AT_ONCE:
                    self._send()
                if self._is_blocked:
                    return
                if is_over:
                    self._is_busy = True
                    self._driver.loop.soon(partial(self._go_on, None))
                    return
            elif isinstance(step, Work):
                self._send()
                self._is_busy = True
                self._driver.threads.call(step.call, self._go_on)
                return
            elif isinstance(step, GiveBack):
                self._unused = step.unread + self._stop_reading()
            elif self._input:
                answer = self._take_input()
            elif self._at_end:
                answer = b""
            else:
                self._send()
                self._wait(step)
                return

    def _send(self) -> None:
        """Send what the session's steps said, in one piece: each costs both ends a wake-up."""
        if self._output_size and self._stream is not None:
            self._stream.write(b"".join(self._output))
            if self._stream.is_blocked and self._stalled is None:
                self._watch_progress()
        self._output.clear()
        self._output_size = 0

    def _wait(self, receive: Receive) -> None:
        self._receiving = receive
        self._due = time.monotonic() + receive.timeout_s
        if self._alarm is None or self._alarm.when > self._due:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._driver.loop.later(receive.timeout_s, self._ring)
        if receive.watch is not None:
            self._driver.watch(self, receive)

    def _ring(self) -> None:
        """Wake the session if it has waited long enough; its next wait sets a new alarm if not."""
        self._alarm = None
        if self._receiving is None:
            return
        left_s = self._due - time.monotonic()
        if left_s > 0:
            self._alarm = self._driver.loop.later(left_s, self._ring)
        else:
            self.wake(Wake.TIMEOUT)

    def _take_input(self) -> bytes:
        data = b"".join(self._input or ())
        self._input = None
        self._size = 0
        if self._stream is not None and not self._at_end:
            self._stream.resume()
        return data

    def _stop_reading(self) -> bytes:
        """Give what has come and was not asked for; what comes now stays where it is."""
        if self._stream is not None:
            self._stream.pause()
        data, self._input = b"".join(self._input or ()), None
        return data

    def _finish(self) -> None:
        """Close the socket once all is written; then, in `lost`, this has ended."""
        self._send()
        self._is_done = True
        for timer in (self._alarm, self._stalled):
            if timer is not None:
                timer.cancel()
        if self._stream is None:
            self._ended(None)
            return
        self._stream.close()
        if self._stream is not None and self._stream.unsent:
            self._watch_progress()
