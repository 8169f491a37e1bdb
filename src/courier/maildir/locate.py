"""Finding message files, which other programs may rename or remove at any moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Set
from typing import TypeVar

from courier.maildir import filename, scan
from courier.maildir.columns import Columns
from courier.maildir.state import State

T = TypeVar("T")

#: Times one message file may escape a call by being renamed by others before it counts as gone.
_RENAME_RACES = 20


class MessageGone(FileNotFoundError):
    """The message is no longer in the folder: another session or program removed it."""


class Locator:
    """Calls with the paths of message files, and looks for those that are not where they were."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._sightings: Mapping[bytes, bytes] = {}  # base: path, when a file was last missed
        self._absent: Set[bytes] = frozenset()  # bases of messages that were gone by then

    def forget(self) -> None:
        """Believe the columns again: they have been read since."""
        self._sightings, self._absent = {}, frozenset()

    def call(self, uid: int, call: Callable[[bytes], T]) -> T:
        """Call with the message file's path; look for it again while the path is not there.

        Raises:
            MessageGone: no file of this message is left.
        """
        path, columns = self._state.path, self._state.columns
        row = None if self._state.is_void else columns.row(uid)
        if row is None:
            raise MessageGone(2, "no such message", f"UID {uid}")
        directory = b"new" if uid in columns.in_new else b"cur"
        name = columns.names[row]
        file = b"%b/%b/%b" % (os.fsencode(path), directory, name)
        for _ in range(_RENAME_RACES):
            try:
                return call(file)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESTALE):  # another host removed it
                    raise
                file = self._look_again(path, columns, filename.base(name), file)
        raise MessageGone(2, "renamed again and again", os.fsdecode(file))

    def _look_again(self, path: str, columns: Columns, base: bytes, missing: bytes) -> bytes:
        """Give the path under which a message lies, knowing that it was not ``missing``.

        One look serves all the messages that were renamed or removed before it.
        """
        found = self._sightings.get(base)
        if found == missing or (found is None and base not in self._absent):
            self._sight(path, columns)
            found = self._sightings.get(base)
        if found is None:
            raise MessageGone(2, "message file is gone", os.fsdecode(missing))
        return found

    def _sight(self, path: str, columns: Columns) -> None:
        """Note where every message lies now, and which are gone."""
        new = os.path.join(os.fsencode(path), b"new")
        cur = os.path.join(os.fsencode(path), b"cur")
        waiting = {filename.base(name): name for name in scan.listing(path, "new")}
        expected = set(map(filename.base, columns.names)) - waiting.keys()
        there = scan.present(path, expected)
        paths = {base: os.path.join(new, name) for base, name in waiting.items()}
        paths |= {base: os.path.join(cur, name) for base, name in there.items()}
        self._sightings, self._absent = paths, expected - there.keys()
