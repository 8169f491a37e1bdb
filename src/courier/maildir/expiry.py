"""Removing old messages from a folder: the trash, and what else IMAP_EMPTYTRASH names.

The clock is a file's time of status change: of the move into the folder, or of any later change
of its flags. Others see each message vanish; no lock is taken, as for EXPUNGE, and the UID
database learns of it from the next reading.
"""

from __future__ import annotations

import os
import threading
import time

from courier import log
from courier.maildir import counting, filename, scan
from courier.maildir.quota import NOTHING, Quota, Usage

DAY_S = 86_400
_REMEMBERED = 4096

_mutex = threading.Lock()
#: When the next message of a folder can expire, by its directory's identity and the days.
#: Times of status change only move forward, so that nothing can before.
_next: dict[tuple[int, int, int], float] = {}


def is_due(folder: str, days: int) -> bool:
    """Tell whether `expire` would look at the folder's messages."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    with _mutex:
        return _next.get((found.st_dev, found.st_ino, days), 0.0) <= time.time()


def expire(folder: str, days: int, account: Quota, name: str) -> int:
    """Remove the messages of ``folder`` that have been in it for ``days``; return how many.

    What lies in ``new/`` is moved to ``cur/`` first, which begins its time. A message that can't be
    removed is logged and stays. A crash leaves those removed that were; the quota line comes last.

    Args:
        account, name: the quota that the folder counts in, under this name.
    """
    now = time.time()
    try:
        found = os.stat(folder)
    except OSError:
        return 0  # there is no such folder
    key = (found.st_dev, found.st_ino, days)
    with _mutex:
        if _next.get(key, 0.0) > now:
            return 0
    try:
        if scan.listing(folder, "new"):
            scan.take_new(folder)
        removed, freed, oldest = _remove(folder, now - days * DAY_S, account, name)
    except OSError as error:
        log.error("cannot expire messages", folder, error)
        return 0
    account.note(-freed)
    with _mutex:
        if len(_next) >= _REMEMBERED:
            _next.clear()
        _next[key] = min(oldest, now) + days * DAY_S
    return removed


def _remove(folder: str, before: float, account: Quota, name: str) -> tuple[int, Usage, float]:
    """Remove what last changed ``before``; also say what was freed, and when the rest changed."""
    removed, freed, oldest = 0, NOTHING, time.time()
    for directory in ("cur", "new"):
        for entry in scan.listing(folder, directory):
            path = os.path.join(os.fsencode(folder), os.fsencode(directory), entry)
            try:
                changed = os.lstat(path).st_ctime
                if changed >= before:
                    oldest = min(oldest, changed)
                    continue
                size = counting.octets_of(path) or 0
                os.unlink(path)
            except FileNotFoundError:
                continue  # another session was faster, or its flags were just changed
            except OSError as error:
                log.error("cannot remove expired message", os.fsdecode(path), error)
                continue
            removed += 1
            if account.counts(name, filename.flags(entry)):
                freed += Usage(size, 1)
    return removed, freed, oldest
