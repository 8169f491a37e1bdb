"""courier.lock as real Courier's sessions wait for it: until gamin tells them that the file has gone.

Gamin may lose that event, in a tmpfs often: there it looks each second, and takes what comes and goes meanwhile
for nothing. Then a session sleeps on for two minutes, with nobody holding the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from courier.maildir.lock import FolderLock

_EVERY_S = 5.0
#: So that gamin sees the file.
_HELD_S = 1.5


@contextmanager
def awoken(folder: Path) -> Iterator[None]:
    """Wake who sleeps on: take the folder's lock now and then, for long enough, and give it back."""
    is_over = threading.Event()

    def take_turns() -> None:
        while not is_over.wait(_EVERY_S):
            with FolderLock(str(folder)):
                is_over.wait(_HELD_S)

    thread = threading.Thread(target=take_turns)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
