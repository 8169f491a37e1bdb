"""authdaemond.timers: what is due, and what is not any more."""

from __future__ import annotations

import time

import pytest

from authdaemond import timers as module
from authdaemond.timers import Timers


def test_order_and_cancelling() -> None:
    """The soonest first; what was cancelled, before or amid the others, doesn't happen."""
    timers = Timers()
    called: list[str] = []
    timers.after(-1.0, lambda: called.append("second"))
    timers.after(-2.0, lambda: (called.append("first"), cancelled.cancel())[0])
    cancelled = timers.after(-1.5, lambda: called.append("never"))
    began = time.monotonic()
    timers.after(30.0, lambda: called.append("later"))

    timers.run_due()

    assert called == ["first", "second"]
    wait_s = timers.wait_s() or 0.0
    assert 30.0 - (time.monotonic() - began) <= wait_s <= 30.0


def test_cancelled_ones_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of log-ins a second leave no timers of a minute behind."""
    monkeypatch.setattr(module, "_CANCELLED", 10)
    timers = Timers()
    timers.after(60.0, lambda: None)
    for _ in range(1000):
        timer = timers.after(60.0, lambda: None)
        timer.cancel()
        timer.cancel()

    assert len(timers) <= 12
    assert timers.wait_s() is not None
