"""Times on disk that are old enough to be believed, without waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from courier.maildir import filesystem

_LATER_NS = 10_000_000_000


def seconds_later(real: Callable[[], int] = time.time_ns) -> int:
    """What `time.time_ns` will say in ten seconds."""
    return real() + _LATER_NS


def wait_for_tick() -> None:
    """Let the file system's clock go on, so that what is changed from here on bears another time."""
    now = filesystem.clock_ns()
    while filesystem.clock_ns() == now:
        pass
