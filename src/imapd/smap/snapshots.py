"""Snapshots: the index of a folder as one client knows it, so that later only differences are told.

    F/courierimapsnapshots/ID

    1 SP messages SP uidvalidity SP uidnext [":" ID of the snapshot before] LF
    uid ":" info LF                            for each message, ascending; info is "2,FRS" or nothing
    keyword LF                                 as in courierimapkeywords/:list: each one, an empty line, and
    LF                                         for each message that has some its base name and their numbers
    base ":" number SP number... LF

Courier's files, which it takes from us and we from it. Nobody locks them: they appear whole, and who finds
one that does not fit does without.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from courier import log
from courier.maildir import delivery, filename, keywords
from courier.maildir.columns import row_of
from courier.maildir.folder import Folder
from courier.maildir.view import View

DIRECTORY = "courierimapsnapshots"
_HEADER = re.compile(rb"1 ([0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,10})(?::([^\n]*))?")
#: Housekeeping: so many are kept whatever their age, so many at most, and the others so many days.
_KEPT, _MOST = 10, 50
_DAYS, _DAYS_EACH = 7, 2
_DAY_S = 86_400
#: Octets of a file that is taken for a snapshot: of a million messages.
_LARGEST = 256 << 20


class Snapshots:
    """The snapshots that one session takes of the open folder."""

    def __init__(self, view: View, last: str = "", before: str = "") -> None:
        """``last`` is the one that the client came with, ``before`` the one that it names."""
        self._view = view
        self._last = last
        self._before = before
        self.is_outdated = True  # Courier: also if it was just used

    def save(self) -> str:
        """Write what the client has been told, and give the ID.

        Others see the file whole or not at all. The one before the last is removed: the client may not yet
        have noted the new one.

        Raises:
            OSError: it can't be written.
        """
        folder = self._view.folder
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.join(folder.path, DIRECTORY), 0o755)
        name = delivery.unique_name("snapshot")
        text = _text(self._view, self._last)
        with _directory(folder) as directory:
            path = os.path.join(DIRECTORY, name)
            delivery.write_atomically(folder.path, path, text, "snapshot")
            if self._before:
                _remove(self._before, directory)
        self._before, self._last = self._last, name
        self.is_outdated = False
        return name


def restore(view: View, name: str) -> Snapshots | None:
    """Make a view what the client knows; None if there is no such snapshot, or not of this folder.

    The folder has been read. Its time is set to now, for it is in use.
    """
    folder = view.folder
    if not is_name(name):
        return None
    try:
        with _directory(folder) as directory:
            if os.lstat(name, dir_fd=directory).st_size > _LARGEST:
                return None
            text, _ = delivery.read_regular(name, directory)
            found = _parsed(folder, text)
            if found is not None:
                os.utime(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None
    if found is None:
        return None
    uids, flags, words, before = found
    last = uids[-1] if uids else 0
    if not set(folder.columns.uids[: bisect_right(folder.columns.uids, last)]) <= set(uids):
        return None  # a message has come back whose number would be among those told
    numbers = array("I", bytes(4 * len(uids)))
    for row, some in words.items():
        numbers[row] = folder.keyword_number(some)
    view.restore(uids, flags, numbers)
    return Snapshots(view, name, before if is_name(before) else "")


def is_name(name: str) -> bool:
    """Tell whether a client may mean a snapshot by this."""
    return bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name


def tidy(folder: Folder) -> None:
    """Remove what is no snapshot, and of those nobody has used for long all but the latest.

    Dot files are somebody else's.
    """
    times: list[tuple[float, str]] = []
    try:
        with _directory(folder) as directory:
            for name in os.listdir(directory):
                if name.startswith("."):
                    continue
                if not _is_ours(name, directory):
                    _remove(name, directory)
                else:
                    times.append((os.lstat(name, dir_fd=directory).st_mtime, name))
            for name in _superfluous(times, time.time()):
                _remove(name, directory)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.error("cannot tidy up", os.path.join(folder.path, DIRECTORY), error)


def _superfluous(times: list[tuple[float, str]], now: float) -> Iterator[str]:
    """Give the names to be removed, the oldest first."""
    count = len(times)
    for mtime, name in sorted(times):
        days = _DAYS + _DAYS_EACH * (count - _KEPT)
        if count <= _KEPT or (count <= _MOST and now - mtime <= days * _DAY_S):
            return
        yield name
        count -= 1


def _is_ours(name: str, directory: int) -> bool:
    """Tell whether a file begins as a snapshot does."""
    try:
        fd, _ = delivery.open_regular(name, directory)
    except OSError:
        return False
    try:
        return os.read(fd, 2) == b"1 "
    finally:
        os.close(fd)


@contextmanager
def _directory(folder: Folder) -> Iterator[int]:
    """Open the directory, which no symbolic link can be: files are removed there.

    Raises: OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(os.path.join(folder.path, DIRECTORY), flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove(name: str, directory: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


def _text(view: View, last: str) -> bytes:
    folder = view.folder
    tail = b":" + os.fsencode(last) if last else b""
    head = b"1 %d %d %d%b\n" % (len(view.uids), folder.uidvalidity, folder.uidnext, tail)
    infos = [_INFO[flags] for flags in view.flags]
    lines = map(b"%d:%b\n".__mod__, zip(view.uids, infos, strict=True))
    words: dict[bytes, tuple[str, ...]] = {}
    if folder.options.keywords:
        for uid, number in zip(view.uids, view.keywords, strict=True):
            if number and (row := row_of(view.columns.uids, uid)) is not None:
                words[filename.base(view.columns.names[row])] = folder.keyword_sets[number]
    return (
        head + b"".join(lines) + (keywords.format_list(words) if folder.options.keywords else b"")
    )


_INFO = tuple(
    filename.with_flags(b"x", flags).partition(b":")[2] if flags else b"2," for flags in range(32)
)

_Parsed = tuple["array[int]", bytes, dict[int, tuple[str, ...]], str]


def _parsed(folder: Folder, text: bytes) -> _Parsed | None:
    """Read a snapshot: UIDs, flags, keywords by row, and the ID of the one before. None: it is of no use."""
    first, _, rest = text.partition(b"\n")
    header = _HEADER.fullmatch(first)
    if header is None or int(header[2]) != folder.uidvalidity:
        return None
    count = int(header[1])
    if count > len(text):
        return None
    lines = rest.split(b"\n", count)
    if len(lines) <= count:
        return None
    uids = array("I")
    names = []
    last = 0
    for line in islice(lines, count):
        number, colon, info = line.partition(b":")
        if not colon or not number.isdigit() or len(number) > 10:
            return None
        uid = int(number)
        if not last < uid <= 0xFFFFFFFF:
            return None
        uids.append(uid)
        names.append(b"x:" + info)
        last = uid
    flags = filename.flags_of(names)
    words: dict[int, tuple[str, ...]] = {}
    columns = folder.columns
    listed = keywords.parse_list(lines[count]) if folder.options.keywords and lines[count] else {}
    if listed:
        for row, uid in enumerate(uids):
            place = columns.row(uid)
            some = None if place is None else listed.get(filename.base(columns.names[place]))
            if some:
                words[row] = some
    return uids, flags, words, os.fsdecode(header[4] or b"")
