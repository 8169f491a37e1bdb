"""The folders of a process: one `Folder` object per directory, shared by all its sessions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from courier.maildir.folder import Folder, Options
from courier.maildir.watcher import Watcher

if TYPE_CHECKING:
    from courier.maildir.roster import Rosters


class Store:
    """Gives folders by path, the same object for the same directory.

    The folders used last are kept for a while: a client that appends 1,000 messages to
    a mailbox it has not selected finds it open. Small ones are kept for longer: clients come again,
    and reading the index of a small folder takes a third of the time of a session that selects it.
    """

    _RECENT = 4
    _SMALL = 128

    def __init__(self, options: Options) -> None:
        self.options = options
        self.watcher = Watcher()
        self._rosters: Rosters | None = None
        self._mutex = threading.Lock()
        self._folders: WeakValueDictionary[tuple[int, int], Folder] = WeakValueDictionary()
        self._recent: list[Folder] = []
        self._small: dict[Folder, None] = {}  # those before them, the longest unused first
        self._turn = 0

    @property
    def rosters(self) -> Rosters:
        """What is known of all folders of a maildir."""
        with self._mutex:
            if self._rosters is None:
                from courier.maildir.roster import Rosters  # POP3 has but one folder

                self._rosters = Rosters(self.options)
            return self._rosters

    def open(self, path: str, make: Callable[[str, Options], Folder] = Folder) -> Folder:
        """Give the folder in directory ``path``, which may have been renamed since.

        Args:
            make: called if there is no object for it yet.

        Raises:
            OSError: there is no such directory.
        """
        found = os.stat(path)
        with self._mutex:
            folder = self._folders.get((found.st_dev, found.st_ino))
            if folder is not None and folder.path != path:
                # Renamed; or the other one is gone, and this was given its number: then what nobody
                # but us has goes here.
                self._drop(folder)
                del folder
                folder = self._folders.get((found.st_dev, found.st_ino))
            if folder is None or folder.is_void:
                folder = make(path, self.options)
                self._folders[found.st_dev, found.st_ino] = folder
                self._look_at_one()
            folder.path = path
            self._keep(folder)
        return folder

    def _drop(self, folder: Folder) -> None:
        self._small.pop(folder, None)
        self._recent = [other for other in self._recent if other is not folder]

    def _look_at_one(self) -> None:
        """Let go of a small folder that is small no longer; they are looked at in turn, one each time.

        A look at all of them would take longer than all else that a SELECT does.
        """
        self._turn = (self._turn + 1) % self._SMALL
        kept = next(islice(self._small, self._turn % max(1, len(self._small)), None), None)
        if kept is not None and not kept.is_light:
            del self._small[kept]

    def _keep(self, folder: Folder) -> None:
        self._drop(folder)
        self._recent.insert(0, folder)
        if len(self._recent) > self._RECENT:
            other = self._recent.pop()
            if other.is_light:
                self._small[other] = None
        if len(self._small) > self._SMALL:
            del self._small[next(iter(self._small))]

    def settle(self, *, at_once: bool = False) -> None:
        """Have the indexes of the folders used last vouch for them; see `Folder.settle`."""
        with self._mutex:
            recent = list(self._recent)
        for folder in recent:
            folder.settle(at_once=at_once)

    @property
    def is_settled(self) -> bool:
        """Whether `settle` has nothing to do."""
        with self._mutex:
            return all(folder.is_settled for folder in self._recent)
