"""Giving memory back to the system after work on a million names.

Python and the C library keep what was freed for the next need of the same kind, which in a worker
that serves many small sessions after one big folder never comes.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Let Python not look for garbage among a million names again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def release() -> None:
    """Give back what is free."""
    gc.collect()
    if _trim is not None:
        _trim(0)
