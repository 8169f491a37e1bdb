"""Where a maildir keeps its access control lists.

    F/courierimapacl              of a folder there is
    M/courierimaphieracl/a.b      of a name that exists as a level above folders only

A folder without a list of its own has its parent's, up to INBOX, whose default is `acl.DEFAULT`.

Courier writes that inherited list into the folder at the first look at it (a LIST by anybody), from when
on the parent's list no longer matters to it. Here looking changes nothing. Instead, whoever changes
a folder's list first gives every folder below its own, as it was until then (`change`): so
widening INBOX's rights opens no folder below it, as with Courier.

An entry of courierimaphieracl whose name has no folder below it is left over, and means nothing: a
folder made under that name gets its parent's list and not that of its predecessor.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from courier import log
from courier.maildir import acl, delivery
from courier.maildir.acl import Acl
from courier.maildir.lock import FolderLock
from courier.maildir.tree import EXHAUSTED, Tree

NAME = "courierimapacl"
HIERARCHY = "courierimaphieracl"
#: Errors of what is no list, or not for us.
_NO_LIST = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR)
#: Octets of a file that is taken for a list.
_LARGEST = 1 << 20


class AclFiles:
    """The lists of one maildir; folders are named as in `tree.Tree`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def read(self, folder: str, known: dict[str, Acl] | None = None) -> Acl:
        """Give the list in force for a folder or level, whether it exists or not.

        One that may not be read, or is no file, gives nobody any right, but the owner his ``a``.

        Args:
            known: lists read before, within one command; those that this call reads are added.

        Raises:
            OSError: the system can't read it now. What is in it must not be taken for nothing.
        """
        found = known.get(folder) if known else None
        if found is None:
            found = self._own(folder)
        if found is None:
            above = folder.rpartition(".")[0]
            found = self.read(above, known) if folder else acl.DEFAULT
        if known is not None:
            known[folder] = found
        return found

    def change(self, folder: str, change: acl.Change, owner: str | None = None) -> Acl:
        """Change a folder's list, under the maildir's lock, and return the new one.

        The lists of all below are written first, each as a whole; a crash leaves some of them
        written, which changes nothing that is in force.

        Raises:
            InvalidAcl: ``acl.check`` refuses the list; nothing has changed.
            OSError: it can't be written; the one in force is as it was.
        """
        with FolderLock(self._tree.path, enabled=self._tree.use_locks):
            wanted = change(self.read(folder))
            acl.check(wanted, owner)
            self._pin_below(folder)
            self._write(folder, wanted)
        return wanted

    def create(self, folder: str, *, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Make a folder with the list in force for its name. Raises as `Tree.create`."""
        self._tree.create(folder, files={NAME: acl.write(self.read(folder)), **files})

    def delete(self, folder: str) -> None:
        """Remove a folder; a level that remains above others keeps its list. Raises as `Tree.delete`.

        That list is written first: as long as the folder is there it means nothing.
        """
        if folder and self._has_below(folder):
            self._write_level(folder, self.read(folder))
        self._tree.delete(folder)
        self._forget(folder)

    def rename(self, old: str, new: str) -> None:
        """Rename a folder and all below it, lists of levels too. Raises as `Tree.rename`.

        What is moved has its own list before it moves, so that the new place changes no rights.
        Levels get their lists under the new name first, and lose the old ones last.
        """
        folders = [name for name in self._tree.folders() if is_within(name, old)]
        self._pin(folders)
        moved = [level for level in self._levels() if is_within(level, old)]
        fresh = []
        for level in moved:
            found = _read_file(self._level_path(level))
            target = new + level[len(old) :]
            if found is not None and not self._has_below(target):
                self._write_level(target, found)
                fresh.append(target)
        try:
            self._tree.rename(old, new)
        except OSError:
            for level in fresh:
                delivery.unlink_quietly(self._level_path(level))
            raise
        for level in (*moved, old):
            self._forget(level)

    def _forget(self, folder: str) -> None:
        """Remove the entries of levels that nothing is below any more."""
        level = folder
        while level and not self._tree.exists(level) and not self._has_below(level):
            delivery.unlink_quietly(self._level_path(level))
            level = level.rpartition(".")[0]

    def remove_leftovers(self, older_than: float = float("inf")) -> None:
        """Remove entries of levels that nothing is below, last changed before ``older_than``."""
        for level in self._levels():
            path = self._level_path(level)
            if not self._has_below(level) and os.lstat(path).st_mtime < older_than:
                delivery.unlink_quietly(path)

    # -- files -----------------------------------------------------------------------------

    def _own(self, folder: str) -> Acl | None:
        directory = self._tree.directory(folder)
        found = _read_file(os.path.join(directory, NAME))
        if found is not None or not folder or not os.path.lexists(self._level_path(folder)):
            return found
        return _read_file(self._level_path(folder)) if self._has_below(folder) else None

    def _write(self, folder: str, wanted: Acl) -> None:
        directory = self._tree.directory(folder)
        if os.path.isdir(directory):
            delivery.write_atomically(directory, NAME, acl.write(wanted), "acl", sync=True)
        else:
            self._write_level(folder, wanted)

    def _write_level(self, level: str, wanted: Acl) -> None:
        directory = os.path.join(self._tree.path, HIERARCHY)
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            pass
        target = os.path.join(HIERARCHY, level)
        delivery.write_atomically(self._tree.path, target, acl.write(wanted), "acl", sync=True)

    def _pin_below(self, folder: str) -> None:
        """Give every folder and level below ``folder`` that has no list the one in force for it."""
        prefix = f"{folder}." if folder else ""
        below = [name for name in self._tree.folders() if name and name.startswith(prefix)]
        levels = (level for name in below for level in _levels_above(name))
        self._pin({*below, *(level for level in levels if level.startswith(prefix))})

    def _pin(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            if self._own(name) is None:
                self._write(name, self.read(name))

    def _has_below(self, level: str) -> bool:
        return any(True for _ in self._tree.below(level))

    def of_levels(self) -> dict[str, Acl]:
        """Read the lists of all levels, whether anything is below them or not."""
        found = {level: _shown(self._level_path(level)) for level in self._levels()}
        return {level: one for level, one in found.items() if one is not None}

    def _levels(self) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self._tree.path, HIERARCHY)))
        except FileNotFoundError:
            return []

    def _level_path(self, level: str) -> str:
        return os.path.join(self._tree.path, HIERARCHY, level)


def read_file(path: str) -> tuple[Acl, os.stat_result] | None:
    """Give the list in a file, and what the file was when it was opened; None if there is none.

    Raises:
        OSError: it can't be read; see `unreadable`.
    """
    try:
        text, found = delivery.read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if found.st_size > _LARGEST:
        log.warn(f"{path}: too large for an access control list")
        return acl.parse(b""), found
    return acl.parse(text), found


def unreadable(path: str, error: OSError) -> Acl:
    """Log that a list can't be read, and give the one in its place: nobody has any right."""
    log.recurring("cannot read access control list", path, error)
    return acl.parse(b"")


def _read_file(path: str) -> Acl | None:
    try:
        found = read_file(path)
    except OSError as error:
        if error.errno in _NO_LIST:
            return unreadable(path, error)
        log.recurring("cannot read access control list", path, error)
        raise
    return None if found is None else found[0]


def _shown(path: str) -> Acl | None:
    """Do what `_read_file` does, for one of many: a disk that fails there hides no others."""
    try:
        return _read_file(path)
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
        return acl.parse(b"")


def is_within(name: str, top: str) -> bool:
    """Tell whether a folder is ``top`` or below it."""
    return name == top or name.startswith(top + ".")


def _levels_above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
