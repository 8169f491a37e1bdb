"""What was counted in folders, kept as long as the folders' times say that it is still true.

Clients ask for the numbers of all folders again and again. What was found of a folder is kept together with
the times that it had before it was looked at, and given again while these are the same: those of new/, cur/
and courierimapuiddb, which takes three calls of stat(2); nothing is opened or listed. What depends on more than
messages has the times of the folder and of courierimapkeywords/ beside.

The rules are those of `roster`: times are of the last change of status; none counts that was younger than two
seconds when it was looked at, none of a file system that other hosts write to.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Container, Iterable
from struct import Struct
from typing import NamedTuple

from courier.maildir import filesystem, keywords, status, uiddb
from courier.maildir.status import Status

#: Nanoseconds after which a time can be trusted to differ from a later change's.
SETTLED_NS = 2_000_000_000

#: What may be known of a folder beside the plain numbers of its messages.
HIGHEST, IDENTIFIER, SIZE, DELETED_SIZE = "highest", "identifier", "size", "deleted_size"
NEEDS = (HIGHEST, IDENTIFIER, SIZE, DELETED_SIZE)
#: Of these, what depends on more than the messages.
_OF_MORE = frozenset((HIGHEST, IDENTIFIER))

_MORE = Struct("=QqQq")  # inode and time of the folder and of courierimapkeywords/, if there is one


class Found(NamedTuple):
    """What was found of a folder."""

    numbers: Status
    highest: int = 0  # MODSEQ
    size: int | None = None  # octets; None: not all messages are known yet
    identifier: str = ""


class Times(NamedTuple):
    """When what all numbers depend on was last changed, and which it was."""

    device: int
    new_inode: int
    new_ns: int
    cur_inode: int
    cur_ns: int
    uiddb_inode: int
    uiddb_ns: int


class Moment(NamedTuple):
    """A folder's times before it is looked at; what is to be looked up."""

    times: Times
    more: bytes  # what some numbers depend on beside, if they are needed
    needs: frozenset[str]


class Tallies:
    """What was found of the folders of one maildir, by their directories."""

    def __init__(self, path: str) -> None:
        self.counts: dict[str, tuple[Moment, Found]] = {}  # by name in the maildir
        self.news = 0  # how many were counted since they were last stored
        self._unseen: dict[str, tuple[Times, bool]] = {}
        self._path = path

    def current(self, names: Iterable[str], needs: frozenset[str]) -> dict[str, Found]:
        """Give what was found of folders, by their names in the maildir, as far as it still is true.

        Args:
            needs: `HIGHEST` and its like.

        Raises:
            OSError: the maildir can't be opened.
        """
        found = {}
        top = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names:
                kept = self.counts.get(name)
                if kept is None or not needs <= kept[0].needs or not _is_same(kept[0], name, top):
                    continue
                if needs.isdisjoint(_OF_MORE) or _more_or_none(name, top) == kept[0].more:
                    found[name] = kept[1]
        finally:
            os.close(top)
        return found

    def find(self, path: str, needs: frozenset[str]) -> tuple[Found | None, Moment | None]:
        """Give what was found of a folder, if it still is true; else the moment for `keep`.

        Returns: neither, if what is found now can't be kept.
        """
        now_ns = time.time_ns()
        try:
            times = _times(path)
            kept = self.counts.get(self._name(path))
            if kept is not None and kept[0].times == times:
                moment, found = kept
                if needs <= moment.needs and (
                    needs.isdisjoint(_OF_MORE) or moment.more == _more(path)[0]
                ):
                    return found, None
                needs |= moment.needs  # or two clients would take turns
            more, youngest_ns = b"", max(times.new_ns, times.cur_ns, times.uiddb_ns)
            if not needs.isdisjoint(_OF_MORE):
                more, of_more_ns = _more(path)
                youngest_ns = max(youngest_ns, of_more_ns)
        except OSError:
            return None, None
        if now_ns - youngest_ns <= SETTLED_NS:
            return None, None
        return None, Moment(times, more, needs)

    def keep(self, path: str, moment: Moment, found: Found) -> None:
        """Keep what was found of a folder after a moment, with all that the moment says is needed."""
        if _is_believed(path):
            self.counts[self._name(path)] = moment, found
            self.news += 1

    def has_unseen(self, path: str) -> bool:
        """Tell what `status.has_unseen` does; lists the folder's directories if they have changed."""
        found, moment = self.find(path, frozenset())
        if found is not None:
            return found.numbers.unseen > 0
        name = self._name(path)
        times, unseen = self._unseen.get(name, (None, False))
        if moment is None or moment.times != times:
            unseen = status.has_unseen(path)
            if moment is not None and _is_believed(path):
                self._unseen[name] = moment.times, unseen
        return unseen

    def forget(self, present: Container[str]) -> None:
        """Forget what was found of folders that are not among these names.

        Meanwhile another thread may keep what it has found.
        """
        for of in (self.counts, self._unseen):
            for name in [*of]:
                if name not in present:
                    del of[name]

    def _name(self, path: str) -> str:
        """Give the name in the maildir of a folder's directory."""
        return path[len(self._path) + 1 :] or "."


def _is_believed(path: str) -> bool:
    """Tell whether times say all: the folder lies on one local file system."""
    try:
        is_one = os.stat(path).st_dev == os.stat(os.path.join(path, "cur")).st_dev
    except OSError:
        return False
    return is_one and filesystem.is_local(path)


def _times(path: str) -> Times:
    """Look at what all numbers depend on. Raises OSError."""
    new, cur = os.stat(f"{path}/new"), os.stat(f"{path}/cur")
    database = os.lstat(f"{path}/{uiddb.NAME}")
    of_new, of_cur = (new.st_ino, new.st_ctime_ns), (cur.st_ino, cur.st_ctime_ns)
    return Times(cur.st_dev, *of_new, *of_cur, database.st_ino, database.st_ctime_ns)


def _is_same(moment: Moment, name: str, top: int) -> bool:
    """Tell whether `_times` would give those of a moment; ``top`` is the maildir, opened."""
    device, new_inode, new_ns, cur_inode, cur_ns, uiddb_inode, uiddb_ns = moment.times
    try:
        found = os.stat(f"{name}/new", dir_fd=top)
        if found.st_ctime_ns != new_ns or found.st_ino != new_inode:
            return False
        found = os.stat(f"{name}/cur", dir_fd=top)
        if found.st_ctime_ns != cur_ns or found.st_ino != cur_inode or found.st_dev != device:
            return False
        found = os.lstat(f"{name}/{uiddb.NAME}", dir_fd=top)
        return found.st_ctime_ns == uiddb_ns and found.st_ino == uiddb_inode
    except OSError:
        return False


def _more_or_none(name: str, top: int) -> bytes | None:
    try:
        return _more(name, top)[0]
    except OSError:
        return None


def _more(place: str, top: int | None = None) -> tuple[bytes, int]:
    """Give the times that some numbers depend on beside, and the youngest. Raises OSError."""
    folder = os.stat(place, dir_fd=top)
    inode = changed_ns = 0
    with contextlib.suppress(FileNotFoundError):
        words = os.stat(f"{place}/{keywords.DIRECTORY}", dir_fd=top)
        inode, changed_ns = words.st_ino, words.st_ctime_ns
    times = _MORE.pack(folder.st_ino, folder.st_ctime_ns, inode, changed_ns)
    return times, max(folder.st_ctime_ns, changed_ns)
