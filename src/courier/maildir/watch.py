"""Noticing changes that others make to a folder: inotify(7), through the C library.

One inotify instance serves a whole process; each folder that is idled on costs three or four
watches. When the system's limits are reached, OSError is raised and the caller polls instead.

A watch tells of changes made after it was armed: so arm it, then scan the folder once, then sleep.
"""

import ctypes
import errno
import os
import struct
from collections import Counter
from typing import NamedTuple

from courier.maildir import keywords

IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000

# What every change that Courier makes for others to see comes down to: an entry appears or goes.
ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO

_READ_OCTETS = 65536
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, octets of the name

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


class Event(NamedTuple):
    """Something happened to the entry ``name`` of a watched directory, or to the directory."""

    wd: int  # -1 if events were lost (IN_Q_OVERFLOW)
    mask: int
    name: bytes


class Inotify:
    """An inotify instance. Non-blocking: let a selector wait for ``fileno`` to become readable."""

    def __init__(self) -> None:
        """Raises OSError (EMFILE) when the user has as many instances as allowed."""
        self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "")
        self._uses: Counter[int] = Counter()

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int) -> int:
        """Watch the directory ``path`` and return the watch's number.

        The kernel gives a directory that is watched already, under whatever name, the same number
        and the new mask: use one mask for all watches of a kind. ``remove`` counts the uses.
        """
        arguments = (self._fd, os.fsencode(path), mask | IN_ONLYDIR)
        wd = _checked(_libc.inotify_add_watch(*arguments), path)
        self._uses[wd] += 1
        return wd

    def remove(self, wd: int) -> None:
        """Undo one ``add``. Events that happened before may still be read."""
        self._uses[wd] -= 1
        if self._uses[wd] <= 0:
            del self._uses[wd]
            _libc.inotify_rm_watch(self._fd, wd)  # fails when the directory is gone: no matter

    def read(self) -> list[Event]:
        """Return the events there are, up to 64 kB of them; if there are more, ask again."""
        try:
            data = os.read(self._fd, _READ_OCTETS)
        except BlockingIOError:
            return []
        events = []
        at = 0
        while at < len(data):
            wd, mask, _, size = _HEADER.unpack_from(data, at)
            at += _HEADER.size + size
            events.append(Event(wd, mask, data[at - size : at].rstrip(b"\0")))
        return events

    def close(self) -> None:
        """End all watches."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class FolderWatch:
    """The watches of one folder: new/, cur/, the keyword directory once there is one, and itself."""

    __slots__ = ("_entries", "_folder", "_inotify", "_keywords", "_own")  # there may be thousands

    def __init__(self, inotify: Inotify, folder: str) -> None:
        """Arm the watches.

        Raises:
            OSError: ENOSPC or ENOMEM if there are too many, ENOENT if it is no folder. None is armed.
        """
        self._inotify = inotify
        self._folder = folder
        self._entries: set[int] = set()
        self._own = -1
        self._keywords = -1
        try:
            self._own = inotify.add(folder, ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF)
            for directory in ("new", "cur"):
                self._entries.add(inotify.add(os.path.join(folder, directory), ENTRIES))
            self._watch_keywords()
        except OSError:
            self.close()
            raise

    def concerns(self, event: Event) -> bool:
        """Whether the folder is to be scanned because of ``event``.

        Raises:
            OSError: the new keyword directory can't be watched; close this and poll.
        """
        if event.mask & IN_Q_OVERFLOW:
            return True
        if event.wd in self._entries or event.wd == self._keywords:
            return not event.mask & IN_IGNORED
        if event.wd != self._own:
            return False
        if event.mask & (IN_DELETE_SELF | IN_MOVE_SELF):
            return True
        # Of the folder's own entries (its databases come and go) only this one matters.
        if event.name != os.fsencode(keywords.DIRECTORY):
            return False
        self._watch_keywords()
        return True

    @property
    def numbers(self) -> frozenset[int]:
        """The watches whose events may concern this one now."""
        return frozenset(wd for wd in (*self._entries, self._own, self._keywords) if wd >= 0)

    def close(self) -> None:
        """End the watches."""
        for wd in self.numbers:
            self._inotify.remove(wd)
        self._entries.clear()
        self._own = self._keywords = -1

    def _watch_keywords(self) -> None:
        if self._keywords >= 0:
            self._inotify.remove(self._keywords)
            self._keywords = -1
        try:
            self._keywords = self._inotify.add(
                os.path.join(self._folder, keywords.DIRECTORY), ENTRIES
            )
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise


class NamesWatch:
    """The watch of a directory for what is in it beside messages: folders, and files of these names."""

    __slots__ = ("_inotify", "_names", "_own")

    def __init__(self, inotify: Inotify, directory: str, names: frozenset[str]) -> None:
        """Arm the watch. Raises OSError: as `FolderWatch`."""
        self._inotify = inotify
        self._names = frozenset(map(os.fsencode, names))
        # The mask of FolderWatch for the same directory: the kernel has one watch for both.
        self._own = inotify.add(directory, ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF)

    def concerns(self, event: Event) -> bool:
        """Whether one of these has come, gone or changed."""
        if event.mask & IN_Q_OVERFLOW:
            return True
        if event.wd != self._own or event.mask & IN_IGNORED:
            return False
        if event.mask & (IN_DELETE_SELF | IN_MOVE_SELF):
            return True
        return event.name.startswith(b".") or event.name in self._names

    @property
    def numbers(self) -> frozenset[int]:
        """The watches whose events may concern this one."""
        return frozenset((self._own,) if self._own >= 0 else ())

    def close(self) -> None:
        """End the watch."""
        for wd in self.numbers:
            self._inotify.remove(wd)
        self._own = -1


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path or None)
    return result
