"""One inotify instance for all the folders that a process's sessions watch.

The system allows few instances a user, and a session that idles needs but a few watches of it.
Sessions on the same folder share them.
"""

from __future__ import annotations

from courier import log
from courier.maildir.watch import Event, FolderWatch, Inotify


class Watcher:
    """The source of changes: readable when one of the watched folders may have changed."""

    def __init__(self) -> None:
        """Nothing is opened before the first folder is watched."""
        self._inotify: Inotify | None = None
        self._watched: dict[str, Watched] = {}

    def fileno(self) -> int:
        assert self._inotify is not None  # whoever asks watches a folder
        return self._inotify.fileno()

    def watch(self, folder: str) -> Watched:
        """Watch the folder at path ``folder`` until `Watched.close`.

        Raises:
            OSError: the system allows no more watches, or there is no such folder.
        """
        watched = self._watched.get(folder)
        if watched is None:
            if self._inotify is None:
                self._inotify = Inotify()
            watched = Watched(self, folder, FolderWatch(self._inotify, folder))
            self._watched[folder] = watched
        watched.users += 1
        return watched

    def collect(self) -> set[Watched]:
        """Take the events there are; give the folders that have to be looked at."""
        changed: set[Watched] = set()
        while self._inotify is not None and (events := self._inotify.read()):
            for event in events:
                changed.update(w for w in self._watched.values() if w.concerns(event))
        return changed

    def forget(self, watched: Watched) -> None:
        self._watched.pop(watched.folder, None)
        if not self._watched and self._inotify is not None:
            self._inotify.close()
            self._inotify = None


class Watched:
    """A folder that one or more sessions watch."""

    def __init__(self, source: Watcher, folder: str, watch: FolderWatch) -> None:
        self.source = source
        self.folder = folder
        self.users = 0
        self._watch = watch

    def concerns(self, event: Event) -> bool:
        try:
            return self._watch.concerns(event)
        except OSError as error:
            log.error("cannot watch keywords", self.folder, error)
            return True

    def close(self) -> None:
        """End one session's watching."""
        self.users -= 1
        if self.users == 0:
            self._watch.close()
            self.source.forget(self)
