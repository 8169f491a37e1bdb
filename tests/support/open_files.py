"""What this process has open, for tests that leave nothing behind."""

from __future__ import annotations

import gc
import os


def open_before() -> set[str]:
    """The descriptors before something is done.

    What former tests have left is collected first: that closes it, and might do so at any time.
    """
    gc.collect()
    return open_now()


def open_now() -> set[str]:
    """The descriptors, with that by which they are read."""
    return set(os.listdir("/proc/self/fd"))
