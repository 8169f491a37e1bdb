"""Accounting for changes of a folder's directories: were they all ours, so that no scan is needed?

A directory's time says that something changed, not what. So a folder that is open is watched with
inotify: a change made by us, or told by another process of ours in the index's log, is *expected* and
cancels the event that it causes. As long as no event is left over, the folder's columns say
what is in the directory, whatever its time.

When does that vouch for a time S that is written down for others? The kernel puts the event of a
rename, link or unlink into the queue while it holds the directory's lock, under which it
also sets the time. So: S is read; the file system's clock has passed S, so that whatever changes the
directory from now on gives it another time; the directory is listed for a moment, which waits for
whoever holds its lock; then every change that S can stand for has left its event, and if all
are accounted for, the columns are what S stands for.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from courier.maildir import filename
from courier.maildir.columns import Row
from courier.maildir.watch import (
    ENTRIES,
    IN_CREATE,
    IN_DELETE,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_Q_OVERFLOW,
    Event,
    Inotify,
)

Directory = Literal["new", "cur"]
DIRECTORIES: tuple[Directory, Directory] = ("new", "cur")
#: What happened to a name in a directory.
Happening = tuple[Directory, int, bytes]
#: Happenings that nothing accounts for, kept in the hope that a log explains them.
_MOST = 20_000


def renamed(old: Row, new: Row) -> Sequence[Happening]:
    """Give what happens when a message file gets another name or directory."""
    if (old.name, old.in_new) == (new.name, new.in_new):
        return ()
    before = (_directory(old), IN_MOVED_FROM, old.name)
    return before, (_directory(new), IN_MOVED_TO, new.name)


def landed(new: Row) -> Sequence[Happening]:
    """Give what happens when a message is delivered to cur/ with link(2)."""
    return ((_directory(new), IN_CREATE, new.name),)


def came(new: Row) -> Sequence[Happening]:
    """Give what may have happened when a message came that another process of ours has found."""
    base = filename.base(new.name)
    found: list[Happening] = [("new", IN_CREATE, base), ("new", IN_MOVED_TO, base)]
    if not new.in_new:
        found.append(("new", IN_MOVED_FROM, base))
        found += ("cur", IN_CREATE, new.name), ("cur", IN_MOVED_TO, new.name)
    return found


def removed(old: Row) -> Sequence[Happening]:
    """Give what happens when a message file is unlinked."""
    return ((_directory(old), IN_DELETE, old.name),)


def _directory(row: Row) -> Directory:
    return "new" if row.in_new else "cur"


class Witness:
    """The watches on one folder's ``new/`` and ``cur/``, and what they saw."""

    def __init__(self) -> None:
        """Nothing is watched before `arm`."""
        self._source: _Source | None = None
        self._watches: dict[int, Directory] = {}
        self._inodes: dict[Directory, int] = {}
        self._queue: list[Event] = []
        self._unexplained: Counter[Happening] = Counter()
        self._known: set[Directory] = set()

    @property
    def is_armed(self) -> bool:
        """Whether the folder is watched, by this process."""
        return self._source is not None and self._source.is_ours()

    def arm(self, path: str) -> None:
        """Begin to watch, unless that is so already or not possible."""
        if self.is_armed:
            return
        self._watches, self._queue = {}, []
        self._lose_track()
        self._source = _watching(self, path)

    def judge(self) -> None:
        """Take the events there are and set them off against what was expected."""
        if self._source is None:
            return
        self._source.collect()
        queue, self._queue = self._queue, []
        for event in queue:
            directory = self._watches.get(event.wd)
            if directory is None or not event.mask & ENTRIES:
                self._lose_track()  # an overflow, or a directory that is gone
            else:
                self._unexplained[directory, event.mask & ENTRIES, event.name] += 1
        left = {happening: count for happening, count in self._unexplained.items() if count > 0}
        self._unexplained = Counter(left)
        if len(left) > _MOST:
            self._lose_track()

    def expect(self, happenings: Iterable[Happening]) -> None:
        """Account for what was done, here or by another process of ours."""
        self._unexplained.subtract(happenings)

    def begin(self, directory: Directory) -> None:
        """Note that a directory is listed from now on: what happens later will be seen."""
        self.judge()
        self.confirm(directory)

    def confirm(self, directory: Directory) -> None:
        """Note that a directory was, at the last `judge` or after it, as the columns say."""
        if self._source is not None:
            self._known.add(directory)
            self._drop(directory)

    def forget(self) -> None:
        """Know nothing until the directories are listed again."""
        self._lose_track()

    def knows(self, directory: Directory, inode: int) -> bool:
        """Tell whether the columns say what was in the directory at the last `judge`.

        Args:
            inode: what bears the directory's name now.
        """
        if directory not in self._known or self._inodes[directory] != inode:
            return False
        return not any(
            count > 0 and what[0] == directory for what, count in self._unexplained.items()
        )

    def barrier(self, path: str) -> None:
        """Wait for whoever is changing the directories right now, and judge. Raises OSError."""
        for directory in DIRECTORIES:
            with os.scandir(os.path.join(path, directory)) as entries:
                next(entries, None)
        self.judge()

    def _drop(self, directory: Directory) -> None:
        left = {what: count for what, count in self._unexplained.items() if what[0] != directory}
        self._unexplained = Counter(left)

    def _lose_track(self) -> None:
        self._known.clear()
        self._unexplained.clear()

    def queue(self, event: Event) -> None:
        """Take an event from the source; of a folder that nobody asks about, no more than so many."""
        if len(self._queue) < _MOST:
            self._queue.append(event)
        elif len(self._queue) == _MOST:
            self._queue.append(Event(-1, IN_Q_OVERFLOW, b""))

    def watching(self, watches: dict[int, Directory], inodes: dict[Directory, int]) -> None:
        """Take the watches that the source has set."""
        self._watches, self._inodes = watches, inodes


class _Source:
    """This process's inotify instance for all open folders."""

    def __init__(self) -> None:
        """Raises OSError: there are too many instances."""
        self._inotify = Inotify()
        self._pid = os.getpid()
        self._is_adding = False
        self._witnesses: weakref.WeakSet[Witness] = weakref.WeakSet()
        self._of_watch: dict[int, list[weakref.ref[Witness]]] = {}

    def is_ours(self) -> bool:
        """False in a process forked from the one that opened it."""
        return self._pid == os.getpid()

    def add(self, witness: Witness, path: str) -> bool:
        """Watch a folder until ``witness`` is no more; False if the system refuses."""
        watches: dict[int, Directory] = {}
        reference = weakref.ref(witness)
        with _guard:
            self._is_adding = True  # the last witness that there was may end in between
            try:
                inodes = _inodes(path)
                for directory in DIRECTORIES:
                    watches[self._inotify.add(os.path.join(path, directory), ENTRIES)] = directory
                if _inodes(path) != inodes:
                    raise FileNotFoundError(path)
                for watch in watches:
                    self._of_watch[watch] = [*self._of_watch.get(watch, ()), reference]
                self._witnesses.add(witness)
            except OSError:
                self._drop(watches)
                return False
            finally:
                self._is_adding = False
        witness.watching(watches, inodes)
        weakref.finalize(witness, self._end, tuple(watches)).atexit = False
        return True

    def _end(self, watches: tuple[int, ...]) -> None:
        with _guard:
            self._drop(watches)
            for watch in watches:
                living = [one for one in self._of_watch.get(watch, ()) if one() is not None]
                self._of_watch[watch] = living
                if not living:
                    del self._of_watch[watch]
        _close_if_idle(self)

    def _drop(self, watches: Iterable[int]) -> None:
        if self.is_ours():
            for watch in watches:
                self._inotify.remove(watch)

    def close_if_idle(self) -> bool:
        """Give the instance back to the system if nothing is watched."""
        with _guard:
            if self._of_watch or self._is_adding or not self.is_ours():
                return False
            self._inotify.close()
            return True

    def collect(self) -> None:
        """Hand out the events there are."""
        with _guard:
            while events := self._inotify.read():
                for event in events:
                    if event.mask & IN_Q_OVERFLOW:
                        for witness in self._witnesses:
                            witness.queue(event)
                        continue
                    for reference in self._of_watch.get(event.wd, ()):
                        found = reference()
                        if found is not None:
                            found.queue(event)


def _inodes(path: str) -> dict[Directory, int]:
    try:
        return {name: os.stat(os.path.join(path, name)).st_ino for name in DIRECTORIES}
    except OSError:
        return {}


_the_source: _Source | None = None
#: For all of this: a witness may end, by garbage collection, at any moment in any thread.
_guard = threading.RLock()


def _watching(witness: Witness, path: str) -> _Source | None:
    """Give the process's source, watching for ``witness``; None if the system allows no more."""
    global _the_source  # noqa: PLW0603 (the system counts instances by user)
    with _guard:
        if _the_source is None or not _the_source.is_ours():
            try:
                _the_source = _Source()
            except OSError:
                return None
        source = _the_source
        if source.add(witness, path):
            return source
        _close_if_idle(source)
        return None


def _close_if_idle(source: _Source) -> None:
    global _the_source  # noqa: PLW0603
    with _guard:
        if source is _the_source and source.close_if_idle():
            _the_source = None


def _forget_after_fork() -> None:
    global _guard  # noqa: PLW0603
    _guard = threading.RLock()


os.register_at_fork(after_in_child=_forget_after_fork)
