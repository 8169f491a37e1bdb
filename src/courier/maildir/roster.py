"""Which folders a maildir has, with their access control lists: kept from one look to the next.

A mail client lists all folders whenever it starts, and little has changed since. So of each directory
that may be a folder it is kept what was found there, together with when it last changed: a directory's
time says whether names in it came, went or were replaced (``cur``, ``courierimapacl``), and the time of
an access control list whether somebody has written into it. Two calls of stat(2) for each folder thus
tell all that others have done, at the moment of the look; only what they say has changed is read.

The time that counts is that of the last change of status, which no program can set back. One that is
younger than two seconds when it is looked at proves nothing, because the file may be changed again within
the same tick of the clock: what was found then is not believed the next time. Nor is anything on a file
system that other hosts write to, nor a directory on another file system than the maildir's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from courier import log
from courier.maildir import acl, acl_files, filesystem, folder_table, old_names
from courier.maildir.acl import Acl
from courier.maildir.acl_files import AclFiles
from courier.maildir.annotations import NAME as ANNOTATIONS
from courier.maildir.folder_table import Entry, FolderTable, Times
from courier.maildir.memo import Memos
from courier.maildir.state import Options
from courier.maildir.tally import SETTLED_NS, Tallies
from courier.maildir.tree import EXHAUSTED, Tree, is_name

#: Folders of all maildirs of a process that are kept: some 1,500 octets each.
_KEPT_FOLDERS = 20_000
#: What was read before it is stored: so many entries and counts, and this part of all folders.
_LEAST_STORED = 16
_PART = 16
#: The name under which the maildir itself is looked at.
_INBOX = "."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Listed:
    """A folder that there is."""

    name: str  # as in `tree.Tree`
    exists: bool  # only INBOX may not
    acl: Acl  # in force
    is_annotated: bool  # it has a file of annotations


@dataclass(frozen=True, slots=True)
class Look:
    """What there was at one moment; as long as nothing changes, the same object."""

    folders: tuple[Listed, ...]  # INBOX first, whether it exists or not, then by name


#: Says of a folder, or of a level above some, whether it is to be told of.
Wants = Callable[[str], bool]


class Roster:
    """The folders of one maildir, for all sessions of a process."""

    def __init__(self, tree: Tree, options: Options | None = None) -> None:
        """Nothing is read before `look`."""
        options = options or Options()
        self._tallies = Tallies(tree.path)
        self._tree = tree
        self._memos = Memos(tree.path, options.index_dir)
        self._stamp = folder_table.stamp(options)
        self._mutex = threading.Lock()
        self.is_loaded = False  # what a process before this one has stored is known
        self._names: list[str] | None = None  # all there are, as the directory listed them
        self._is_converted = self._has_old_names = False
        self._entries: dict[str, Entry] = {}
        self._times: dict[str, Times] = {}  # of the entries that are believed
        self._levels: dict[str, Acl] = {}
        self._look: Look | None = None
        self._news = 0  # entries that were read since they were last stored

    def __len__(self) -> int:
        return max(len(self._entries), len(self._tallies.counts))

    @property
    def tallies(self) -> Tallies:
        """What was counted in the folders."""
        if not self.is_loaded:
            with self._mutex:
                self._load()
        return self._tallies

    def look(self, wants: Wants | None = None) -> Look:
        """Give the folders that there are now; with ``wants`` no more than it takes to tell of some.

        These are the ones wanted, one below each level that is wanted, if there is any, and what the two
        have their lists from.

        Raises:
            OSError: the maildir can't be read.
        """
        with self._mutex:
            entries = self._current(wants)
            levels = AclFiles(self._tree).of_levels()
            if levels and wants is not None:  # they count if anything is below, wanted or not
                entries = self._current(None)
                levels = AclFiles(self._tree).of_levels()
            if levels != self._levels:
                self._levels, self._look = levels, None
            if entries is not self._entries:
                return Look(tuple(self._listed(entries)))
            if self._look is None:
                self._look = Look(tuple(self._listed(entries)))
            return self._look

    def _load(self) -> None:
        """Take what a process before this one has stored."""
        if self.is_loaded:
            return
        data = self._memos.load(folder_table.NAME, self._stamp)
        if data is not None:
            with contextlib.suppress(ValueError, LookupError, struct.error):
                table = folder_table.unpack(data)
                self._entries, self._times = table.entries, table.times
                self._tallies.counts = table.counts
        self.is_loaded = True

    @property
    def has_news(self) -> bool:
        """Whether so much is known that is not stored that the next process should have it."""
        news = self._news + self._tallies.news
        return news >= max(_LEAST_STORED, len(self) // _PART)

    def store(self) -> None:
        """Store what is known for the next process. Others see the old file or the new one.

        What can't be stored will be found again.
        """
        with contextlib.suppress(OSError):
            self.look()  # a count goes with its folder
        with self._mutex:
            self._news = self._tallies.news = 0
            table = FolderTable(self._entries, self._times, dict(self._tallies.counts))
            self._memos.save(folder_table.NAME, self._stamp, folder_table.pack(table))

    # -- what there is ---------------------------------------------------------------------

    def _current(self, wants: Wants | None) -> Mapping[str, Entry]:
        """Give all entries, or those that say what is wanted, brought up to date. Raises OSError."""
        top = os.open(self._tree.path, _DIRECTORY)
        try:
            self._load()
            names = os.listdir(top)
            is_converted = old_names.is_converted(self._tree.path)
            if (names, is_converted) != (self._names, self._is_converted):
                self._is_converted = is_converted
                self._take_names(names)
            if wants is not None and not self._has_old_names:
                return self._some(top, wants)
            self._take_entries(top, self._entries)
            return self._entries
        finally:
            os.close(top)

    def _take_names(self, names: list[str]) -> None:
        """Forget what is not there any more."""
        self._names, self._look = names, None
        folders = (name for name in sorted(names) if name[0] == "." and is_name(name[1:]))
        present = dict.fromkeys((_INBOX, *folders))
        nothing = Entry("", False, None, False)
        self._entries = {name: self._entries.get(name, nothing) for name in present}
        # Whether "&" is part of an old name depends on which others there are.
        self._times = {
            name: one for name, one in self._times.items() if name in present and "&" not in name
        }
        self._has_old_names = any("&" in name for name in present)
        self._tallies.forget(present)

    def _some(self, top: int, wants: Wants) -> Mapping[str, Entry]:
        """Give the entries of `look`, where every directory has the name of its folder."""
        chosen = {name for name in self._entries if wants(name[1:])}
        self._take_entries(top, chosen)
        unproven = {level for level in _levels_of(self._entries) if wants(level[1:])}
        unproven -= _levels_of(name for name in chosen if self._entries[name].exists)
        for name in self._entries:
            if not unproven:
                break
            if name not in chosen and not unproven.isdisjoint(above := _levels_of((name,))):
                self._take_entries(top, (name,))
                if self._entries[name].exists:
                    chosen.add(name)
                    unproven -= above
        above = _levels_of(chosen).intersection(self._entries)
        self._take_entries(top, above - chosen)
        return {name: self._entries[name] for name in chosen | above}

    def _take_entries(self, top: int, names: Iterable[str]) -> None:
        """Bring entries up to date."""
        believes = filesystem.is_local(self._tree.path)
        for name in self._changed(top, names) if believes else [*names]:
            self._times.pop(name, None)
            found, times = self._read(top, name)
            if times is not None and believes:
                self._times[name] = times
                self._news += 1
            if self._entries[name] != found:
                self._entries[name], self._look = found, None

    def _changed(self, top: int, names: Iterable[str]) -> list[str]:
        """Give those of some names that have to be read."""
        look, all_times = os.stat, self._times
        changed = []
        for name in names:
            times = all_times.get(name)
            if times is None:
                changed.append(name)
                continue
            device, inode, changed_ns, list_inode, list_changed_ns = times
            try:
                found = look(name, dir_fd=top)
                is_same = (
                    found.st_ctime_ns == changed_ns
                    and found.st_ino == inode
                    and found.st_dev == device
                )
                if is_same and list_inode:
                    found = os.lstat(f"{name}/{acl_files.NAME}", dir_fd=top)
                    is_same = found.st_ctime_ns == list_changed_ns and found.st_ino == list_inode
            except OSError:
                is_same = False
            if not is_same:
                changed.append(name)
        return changed

    def _read(self, top: int, name: str) -> tuple[Entry, Times | None]:
        """Read what there is under a name; with its times, if it can be believed by them later."""
        now_ns = time.time_ns()
        folder = "" if name == _INBOX else self._tree.meant(name[1:])
        try:
            found = os.stat(name, dir_fd=top)
            kind = os.lstat(f"{name}/cur", dir_fd=top).st_mode
        except OSError as error:  # no folder, but maybe a level above some
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                log.recurring("cannot look into", os.path.join(self._tree.path, name), error)
            return Entry(folder, False, self._own(name)[0], False), None
        exists = stat.S_ISDIR(kind) or os.path.isdir(os.path.join(self._tree.path, name, "cur"))
        own, of_list, is_sure = self._own(name)
        is_annotated = os.access(f"{name}/{ANNOTATIONS}", os.F_OK, dir_fd=top)
        entry = Entry(folder, exists, own, is_annotated)
        youngest_ns = max(found.st_ctime_ns, of_list.st_ctime_ns if of_list else 0)
        is_alone = stat.S_ISDIR(kind) and found.st_dev == os.fstat(top).st_dev
        if not is_sure or not is_alone or now_ns - youngest_ns <= SETTLED_NS:
            return entry, None
        of = (0, 0) if of_list is None else (of_list.st_ino, of_list.st_ctime_ns)
        return entry, Times(found.st_dev, found.st_ino, found.st_ctime_ns, *of)

    def _own(self, name: str) -> tuple[Acl | None, os.stat_result | None, bool]:
        """Give a directory's own list, and whether it is certain what is in it."""
        path = os.path.join(self._tree.path, name, acl_files.NAME)
        try:
            read = acl_files.read_file(path)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            return acl_files.unreadable(path, error), None, False
        return (None, None, True) if read is None else (*read, True)

    # -- what follows ----------------------------------------------------------------------

    def _listed(self, entries: Mapping[str, Entry]) -> Iterator[Listed]:
        """Give the folders with the lists in force; those of `AclFiles.read`, found without reading."""
        found: dict[str, Entry] = {}
        known: dict[str, Acl] = {}
        for entry in entries.values():
            if entry.exists or not entry.folder:
                found.setdefault(entry.folder, entry)
            if entry.own is not None:
                known.setdefault(entry.folder, entry.own)
        above = {level for folder in found for level in _levels_above(folder)}
        for folder in sorted(found):
            in_force = self._in_force(folder, known, above)
            yield Listed(folder, found[folder].exists, in_force, found[folder].is_annotated)

    def _in_force(self, folder: str, known: dict[str, Acl], above: Container[str]) -> Acl:
        found = known.get(folder)
        if found is None and folder in above:
            found = self._levels.get(folder)
        if found is None and folder:
            found = self._in_force(folder.rpartition(".")[0], known, above)
        known[folder] = found = acl.DEFAULT if found is None else found
        return found


class Rosters:
    """The rosters of a process, by maildir; the ones used last are kept, as long as they are small."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options
        self._mutex = threading.Lock()
        self._rosters: dict[str, Roster] = {}  # the one used last stands last

    def of(self, tree: Tree) -> Roster:
        with self._mutex:
            found = self._rosters.pop(tree.path, None)
            if found is None:
                found = Roster(tree, self._options)
            self._rosters[tree.path] = found
            folders = sum(map(len, self._rosters.values()))
            for path in [*self._rosters][:-1]:
                if folders <= _KEPT_FOLDERS:
                    break
                folders -= len(self._rosters.pop(path))
            return found


def _levels_of(names: Iterable[str]) -> set[str]:
    """Give what of a maildir's names all levels above some would have."""
    levels: set[str] = set()
    for name in names:
        level = name
        while level != _INBOX:
            level = level[: level.rindex(".")] or _INBOX
            if level in levels:
                break  # and so are those above it
            levels.add(level)
    return levels


def _levels_above(folder: str) -> Iterator[str]:
    at = folder.rfind(".")
    while at > 0:
        yield folder[:at]
        at = folder.rfind(".", 0, at)
