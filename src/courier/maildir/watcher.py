"""One inotify instance for all the folders that a process's sessions watch.

The system allows few instances a user, and a session that idles needs but a few watches of it.
Sessions on the same folder share them. An event is looked at by those whom it may concern alone, so that
one costs the same however many folders are watched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from itertools import islice

from courier import log
from courier.maildir.watch import Event, FolderWatch, Inotify, NamesWatch


class Watcher:
    """The source of changes: readable when one of the watched folders may have changed."""

    def __init__(self) -> None:
        """Nothing is opened before the first folder is watched."""
        self._inotify: Inotify | None = None
        self._watched: dict[Hashable, Watched] = {}
        self._by_number: defaultdict[int, set[Watched]] = defaultdict(set)

    def fileno(self) -> int:
        assert self._inotify is not None  # whoever asks watches a folder
        return self._inotify.fileno()

    def watch(self, folder: str) -> Watched:
        """Watch the messages of the folder at path ``folder`` until `Watched.close`.

        Raises:
            OSError: the system allows no more watches, or there is no such folder.
        """
        return self._watch(folder, folder, FolderWatch)

    def watch_names(self, directory: str, names: frozenset[str]) -> Watched:
        """Watch what is in a directory beside messages; see `NamesWatch`. Raises: as `watch`."""
        key = (directory, names)
        return self._watch(key, directory, partial(NamesWatch, names=names))

    def _watch(
        self,
        key: Hashable,
        directory: str,
        make: Callable[[Inotify, str], FolderWatch | NamesWatch],
    ) -> Watched:
        watched = self._watched.get(key)
        if watched is None:
            if self._inotify is None:
                self._inotify = Inotify()
            try:
                watched = Watched(self, key, directory, make(self._inotify, directory))
            except OSError:
                self._close_if_unused()
                raise
            self._watched[key] = watched
            self.file(watched)
        watched.users += 1
        return watched

    def collect(self) -> set[Watched | WatchGroup]:
        """Take the events there are; give those whom they concern, and note it in their groups."""
        changed: set[Watched] = set()
        while self._inotify is not None and (events := self._inotify.read()):
            for event in events:
                # Of lost events (-1) nobody knows whom they concerned.
                among = self._by_number.get(event.wd, ()) if event.wd >= 0 else ()
                for watched in list(among if event.wd >= 0 else self._watched.values()):
                    if watched.concerns(event):
                        changed.add(watched)
        groups: set[WatchGroup] = set()
        for watched in changed:
            for group, key in watched.groups:
                group.changed.add(key)
                groups.add(group)
        return changed | groups

    def file(self, watched: Watched) -> None:
        """Know which events may concern one that has begun to be watched, or whose watches changed."""
        for number in watched.filed - watched.numbers:
            self._by_number[number].discard(watched)
            if not self._by_number[number]:
                del self._by_number[number]
        for number in watched.numbers - watched.filed:
            self._by_number[number].add(watched)
        watched.filed = watched.numbers

    def forget(self, watched: Watched) -> None:
        self.file(watched)
        self._watched.pop(watched.key, None)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._watched and self._inotify is not None:
            self._inotify.close()
            self._inotify = None


class Watched:
    """A folder that one or more sessions watch."""

    __slots__ = ("_watch", "filed", "folder", "groups", "key", "source", "users")

    def __init__(
        self, source: Watcher, key: Hashable, folder: str, watch: FolderWatch | NamesWatch
    ) -> None:
        self.source = source
        self.key = key
        self.folder = folder
        self.users = 0
        self.groups: set[tuple[WatchGroup, Hashable]] = set()
        self.filed: frozenset[int] = frozenset()  # numbers that the source knows
        self._watch = watch

    @property
    def numbers(self) -> frozenset[int]:
        return self._watch.numbers

    def concerns(self, event: Event) -> bool:
        try:
            concerns = self._watch.concerns(event)
        except OSError as error:
            log.recurring("cannot watch keywords", self.folder, error)
            concerns = True
        if concerns:
            self.source.file(self)
        return concerns

    def close(self) -> None:
        """End one session's watching."""
        self.users -= 1
        if self.users == 0:
            self._watch.close()
            self.source.forget(self)


class WatchGroup:
    """Several folders that one session watches at once, each by a key of the session's."""

    def __init__(self, source: Watcher) -> None:
        self.source = source
        self.changed: set[Hashable] = set()  # keys, until the session takes them
        self._watched: dict[Hashable, list[Watched]] = {}

    def __bool__(self) -> bool:
        return bool(self._watched)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._watched

    def add(self, key: Hashable, watched: Iterable[Watched]) -> None:
        """Take over watches, which belong to the group from here on."""
        together = self._watched[key] = list(watched)
        for one in together:
            one.groups.add((self, key))

    def discard(self, key: Hashable) -> None:
        for one in self._watched.pop(key, ()):
            one.groups.discard((self, key))
            one.close()
        self.changed.discard(key)

    def take(self) -> set[Hashable]:
        """Give the keys of what has changed since the last time."""
        changed, self.changed = self.changed, set()
        return changed

    def close(self, most: int | None = None) -> bool:
        """End the watches, or so many of them; tell whether some are left."""
        for key in list(islice(self._watched, most)):
            self.discard(key)
        return bool(self._watched)
