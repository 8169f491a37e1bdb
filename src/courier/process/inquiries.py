"""Log-ins that wait for authdaemond: in any order, each until its time is over."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from courier.auth.client import Exchange
from courier.auth.reply import Outcome
from courier.process.child import Login, Pending
from courier.process.reactor import EVENT_READ, EVENT_WRITE, Reactor


class Inquiries:
    """``answered`` is called with each outcome, also with one that is there at once."""

    def __init__(
        self, reactor: Reactor, answered: Callable[[Login, Pending, Outcome], None]
    ) -> None:
        self._reactor = reactor
        self._answered = answered
        #: Those that wait, or did, and until when; the soonest first, nearly. It must not hold the
        #: requests, which it may outlive: there are passwords in them.
        self._asked: deque[tuple[float, Login, int]] = deque()
        self._expires = False  # the timer for them is set

    def follow(self, child: Login, pending: Pending) -> None:
        """Wait for authdaemond's answer, or act on it if it is there."""
        exchange, number = pending.exchange, pending.request.number
        outcome = exchange.result if isinstance(exchange, Exchange) else exchange
        if outcome is not None:
            self.unfollow(pending)
            pending.exchange = outcome  # its deadline is over
            self._answered(child, pending, outcome)
            return
        assert isinstance(exchange, Exchange)
        events = EVENT_WRITE if exchange.wants_write else EVENT_READ

        def ready() -> None:
            exchange.on_ready()
            self.unfollow(pending)
            self.follow(child, pending)

        pending.registered = exchange.fileno()
        self._reactor.watch(pending.registered, events, ready)
        while self._asked and self._asked[0][2] not in self._asked[0][1].waiting:
            self._asked.popleft()
        self._asked.append((exchange.deadline, child, number))
        self._set_expiry()

    def unfollow(self, pending: Pending) -> None:
        if pending.registered >= 0:
            self._reactor.forget(pending.registered)
            pending.registered = -1

    def _set_expiry(self) -> None:
        if self._asked and not self._expires:
            self._expires = True
            self._reactor.at(max(0.0, self._asked[0][0] - time.monotonic()), self._expire)

    def _expire(self) -> None:
        """Give up waiting for authdaemond where it is time.

        One timer does for all log-ins, whose limits are the same.
        """
        self._expires = False
        now = time.monotonic()
        for _ in range(len(self._asked)):
            due, child, number = self._asked.popleft()
            pending = child.waiting.get(number)
            if pending is None or not isinstance(pending.exchange, Exchange):
                continue  # it was answered
            if due > now:
                self._asked.appendleft((due, child, number))
                break
            if pending.exchange.deadline > now:  # it came on, or is another with this number
                self._asked.append((pending.exchange.deadline, child, number))
                continue
            self.unfollow(pending)
            pending.exchange.on_deadline()
            self.follow(child, pending)
        self._set_expiry()
