"""Whether the clock of the file server agrees with ours: locks and UIDVALIDITY rest on it."""

from __future__ import annotations

import os
import time

TOLERANCE_S = 30
_PROBE = os.path.join("tmp", "courier-imap.clockskew.chk")


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
            made = os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            os.unlink(path)
    except OSError:
        return False
    return abs(time.time() - made) > TOLERANCE_S
