"""The folders of a process: one `Folder` object per directory, shared by all its sessions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from courier.maildir.folder import Folder, Options
from courier.maildir.roster import Rosters
from courier.maildir.watcher import Watcher


class Store:
    """Gives folders by path, the same object for the same directory.

    The folders used last are kept for a while: a client that appends 1,000 messages to
    a mailbox it has not selected finds it open.
    """

    _KEPT = 4

    def __init__(self, options: Options) -> None:
        self.options = options
        self.watcher = Watcher()
        self.rosters = Rosters(options.index_dir)
        self._mutex = threading.Lock()
        self._folders: WeakValueDictionary[tuple[int, int], Folder] = WeakValueDictionary()
        self._recent: list[Folder] = []

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
            if folder is None or folder.is_void:
                folder = make(path, self.options)
                self._folders[found.st_dev, found.st_ino] = folder
            folder.path = path
            self._recent = [folder, *(other for other in self._recent if other is not folder)]
            del self._recent[self._KEPT :]
        return folder

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
