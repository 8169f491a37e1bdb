"""Whether the clock of the file server agrees with ours: locks and UIDVALIDITY rest on it."""

from __future__ import annotations

import os
import time

TOLERANCE_S = 30
#: Seconds for which a file system's clock, once found right, is taken for right.
_TRUSTED_S = 60.0
_PROBE = os.path.join("tmp", "courier-imap.clockskew.chk")

#: When a file system's clock was last found right, by its device number.
_found_right: dict[int, float] = {}


def is_due(maildir: str) -> bool:
    """Tell whether nobody of this process has looked at this file system's clock for a minute."""
    try:
        device = os.stat(maildir).st_dev
    except OSError:
        return True
    return time.monotonic() - _found_right.get(device, float("-inf")) > _TRUSTED_S


def is_skewed(maildir: str) -> bool:
    """Tell whether a file made in the maildir now bears another time than now.

    Others may see an empty file in ``tmp/`` for an instant; so they do after a crash, until it is
    purged or the next session begins. Where none can be made (a full disk), nothing is known
    against the clock.
    """
    path = os.path.join(maildir, _PROBE)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileExistsError:  # left over, or of a session that begins at this moment
            os.unlink(path)
            descriptor = os.open(path, flags, 0o666)
        try:
            made = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(path)
    except OSError:
        return False
    if abs(time.time() - made.st_mtime) > TOLERANCE_S:
        return True
    _found_right[made.st_dev] = time.monotonic()
    return False
