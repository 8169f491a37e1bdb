"""deliverquota: put the message on standard input into a maildir, if its quota allows it.

See deliverquota(8).
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from courier import paths
from courier.maildir import counting, delivery, making, quota_warning
from courier.maildir.delivery import TemporaryFile
from courier.maildir.quota import Limits, OverQuota, Quota, Usage
from tools import trash_quota

# sysexits(3), as far as a mail delivery agent looks at them.
_USAGE, _WRITE_FAILED, _TRY_AGAIN, _REFUSED = 73, 74, 75, 77
_CHUNK = 65_536
_WARNING = str(paths.SYSCONFDIR / "quotawarnmsg")


@dataclass(frozen=True, slots=True)
class _Arguments:
    maildir: str
    limits: Limits
    make: bool
    warn_at: int | None
    warning: str


def main(arguments: Sequence[str]) -> int:
    found = _parsed(list(arguments))
    if found is None:
        sys.stderr.write("Usage: deliverquota [-c] [-w percent] maildir\n")
        return _USAGE
    try:
        if found.make:
            making.complete(found.maildir)
        return _deliver(found)
    except _WriteFailed as failure:
        status, error = _WRITE_FAILED, failure.error
    except OSError as failure:
        status, error = _TRY_AGAIN, failure
    sys.stderr.write(f"{found.maildir}: {error.strerror}\n")
    return status


def _parsed(arguments: list[str]) -> _Arguments | None:
    """Read options up to the first that is none, as Courier does; None if that is no command."""
    make, warn_at, warning = False, None, _WARNING
    while arguments:
        if arguments[0] == "-c":
            make = True
            del arguments[0]
        elif arguments[0] == "-w" and len(arguments) > 1:
            warn_at = _percentage(arguments[1])
            if warn_at is None:
                return None
            del arguments[:2]
        elif arguments[0] == "-W" and len(arguments) > 1:
            warning = arguments[1]
            del arguments[:2]
        else:
            break
    if not arguments:
        return None
    limits = Limits.parse(arguments[1]) if len(arguments) > 1 else Limits()
    return _Arguments(arguments[0], limits, make, warn_at, warning)


def _percentage(text: str) -> int | None:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    value = int(digits[:9] or "0")
    return value if value <= 100 and not text.startswith("-") else None


def _deliver(found: _Arguments) -> int:
    """Deliver, and warn the user of what is left.

    Others see the message when it is whole and on disk. The quota's line comes before; it is taken
    back if the message can't be stored.
    """
    maildir, folder = counting.holder(found.maildir)
    account = Quota(maildir, account=found.limits, counts_trash=trash_quota.is_counted())
    status = _store(found.maildir, account, folder)
    if found.warn_at is not None and status in (0, _REFUSED, _TRY_AGAIN):
        quota_warning.warn(maildir, account, found.warn_at, found.warning)
    return status


def _store(directory: str, account: Quota, folder: str) -> int:
    known = _known_size()
    is_counted = account.counts(folder, 0)
    try:
        if known is not None and is_counted:
            with account.charged(Usage(known, 1)):
                return _write(directory, None)
        return _write(directory, account if is_counted else None)
    except OverQuota:
        sys.stdout.write("Mail quota exceeded.\n")
        # Debian: of a message from a pipe, whose size nobody could know, it is "try again".
        return _REFUSED if known is not None else _TRY_AGAIN


def _write(directory: str, account: Quota | None) -> int:
    """Copy standard input to ``new/``; with ``account`` its size is counted once it is known."""
    with TemporaryFile(directory, sync=True, uniq="") as file:
        try:
            for chunk in _chunks():
                file.write(chunk)
            file.close()
        except OSError as error:
            raise _WriteFailed(error) from error
        if account is None:
            _land(file, directory)
        else:
            with account.charged(Usage(file.size, 1)):
                _land(file, directory)
    return 0


def _land(file: TemporaryFile, directory: str) -> None:
    """Make the message visible and its name lasting; if it may not last, it is removed again."""
    new = os.path.join(directory, "new")
    name = os.fsdecode(file.land("new"))
    try:
        delivery.sync_directory(new)
    except OSError:
        delivery.unlink_quietly(os.path.join(new, name))
        raise


class _WriteFailed(Exception):
    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def _chunks() -> Iterator[bytes]:
    while chunk := os.read(0, _CHUNK):
        yield chunk


def _known_size() -> int | None:
    found = os.fstat(0)
    if not stat.S_ISREG(found.st_mode):
        return None
    try:
        return max(found.st_size - os.lseek(0, 0, os.SEEK_CUR), 0)
    except OSError as error:
        if error.errno == errno.ESPIPE:
            return None
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
