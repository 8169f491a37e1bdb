"""Reading a folder's directories: when it is needed, and what a listing proves.

Another program may rename or unlink a message at any moment, without a lock, and readdir is no
snapshot: a file renamed while its directory is read may be missed, or seen under both names.
Hence the rules here. ``new/`` is listed before ``cur/``, so that a file on its way from one to
the other is seen at least once. A message counts as gone only if a listing lacks it during
which ``cur/`` was not touched. Directory times say whether a listing can be spared; a time that
is younger than `_SETTLED_S` when it is read proves nothing, because the directory may change
again within the tick of the file system's clock.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from courier.maildir import filename, keywords, uiddb

#: Seconds after which a directory's time can be trusted to differ from a later change's.
_SETTLED_S = 2.0
#: Listings made before a message that is in none of them is believed to be gone, come what may.
_TRIES = 5


class FolderGone(FileNotFoundError):
    """The folder's directories were removed or renamed."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Times and identities of what a folder is read from. Two equal ones: nothing changed."""

    new: tuple[int, int]
    cur: tuple[int, int]
    uiddb: object
    keywords: object
    settled: bool

    def vouches_for(self, later: Stamp) -> bool:
        """Tell whether what was read after taking this stamp is still what is there."""
        return self.settled and (self.new, self.cur, self.uiddb, self.keywords) == (
            later.new,
            later.cur,
            later.uiddb,
            later.keywords,
        )


def stamp(path: str) -> Stamp:
    """Take the folder's times.

    Raises:
        FolderGone: ``new/`` or ``cur/`` is not there.
        OSError: it cannot be looked at.
    """
    new, cur = _directory(path, "new"), _directory(path, "cur")
    database, keyword_files = uiddb.stamp(path), keywords.stamp(path)
    youngest = max(new[0], cur[0], keyword_files[0] if keyword_files else 0)
    settled = time.time_ns() - youngest > _SETTLED_S * 1e9  # never, if it lies in the future
    return Stamp(new, cur, database, keyword_files, settled)


def _directory(path: str, name: str) -> tuple[int, int]:
    try:
        found = os.stat(os.path.join(path, name))
    except FileNotFoundError as error:
        raise FolderGone(error.errno, error.strerror, os.path.join(path, name)) from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(20, os.strerror(20), os.path.join(path, name))
    return found.st_mtime_ns, found.st_ino


def listing(path: str, name: str) -> list[bytes]:
    """List the message files of ``new`` or ``cur``, in the order of the directory.

    Raises:
        FolderGone: the directory is not there.
        OSError: it cannot be read.
    """
    directory = os.fsencode(os.path.join(path, name))
    try:
        return [entry for entry in os.listdir(directory) if filename.acceptable(entry)]
    except FileNotFoundError as error:
        raise FolderGone(error.errno, error.strerror, os.path.join(path, name)) from error


def take_new(path: str) -> None:
    """Move every message file of ``new/`` to ``cur/``, with ``:2,`` if it has no info yet.

    Others see each message in one of the two directories at any moment. A file that another
    program moves or removes first is passed over.

    Raises:
        OSError: a file cannot be moved; the ones before it are.
    """
    for name in listing(path, "new"):
        source = os.path.join(os.fsencode(path), b"new", name)
        target = os.path.join(os.fsencode(path), b"cur", name if b":" in name else name + b":2,")
        try:
            os.rename(source, target)
        except FileNotFoundError:
            continue


def present(path: str, expected: Collection[bytes]) -> dict[bytes, bytes]:
    """Map the base name of each message in ``cur/`` to its file name.

    Bases that are ``expected`` but missing are looked for again, until ``cur/`` stood still
    while it was listed: what is missing then is gone.
    """
    found: dict[bytes, bytes] = {}
    for _ in range(_TRIES):
        before = _directory(path, "cur")
        names = listing(path, "cur")
        found.update(zip(map(filename.base, names), names, strict=True))
        if all(base in found for base in expected):
            break
        if _directory(path, "cur") == before and _older_than_a_tick(before[0]):
            break
    return found


def _older_than_a_tick(changed_ns: int) -> bool:
    """Tell whether a change right now would give another time (kernels count in 1 to 10 ms)."""
    return abs(time.time_ns() - changed_ns) > 20_000_000


def duplicates(names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Give the pairs of different file names that have one base name."""
    first: dict[bytes, bytes] = {}
    pairs = []
    for name in names:
        other = first.setdefault(filename.base(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs
