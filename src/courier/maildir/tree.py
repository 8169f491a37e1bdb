"""The folders of a maildir, Maildir++: ``M`` itself and ``M/.a.b`` (Courier's layout).

A folder's name here is what follows the dot: ``a.b``; the maildir itself, INBOX, is ``""``.
Names are text in UTF-8, undecodable bytes as surrogates (PEP 383), so that every directory has
a name. What a protocol makes of them is the protocol's business. A directory that a Courier before
5.0 has named (`old_names`) is the folder that it meant, unless there is another of that name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from courier import log
from courier.maildir import delivery, mailbox_id, old_names, uiddb
from courier.maildir.lock import FolderLock
from courier.maildir.uiddb import UidDb

#: Highest UIDVALIDITY of folders that are gone, kept where a clock would give it out again.
_WATERMARK = "pycourier-uidvalidity"
_DELETED = "deleted"
#: Errors that say something about this process or machine, and nothing about a folder.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: Octets; with its dot a directory's name has 255.
_LONGEST_NAME = 254
_LONGEST_CHARACTER = 4


class Tree:
    """A maildir and its folders."""

    def __init__(self, path: str, *, trash: str = "Trash", use_locks: bool = True) -> None:
        """``trash`` is the folder that can be neither deleted nor renamed."""
        self.path = path
        self.trash = trash
        self.use_locks = use_locks

    def directory(self, name: str) -> str:
        """Give the directory of folder ``name``, whether it exists or not.

        Raises:
            ValueError: it is no name of a folder (`is_name`).
        """
        if not name:
            return self.path
        if not is_name(name):
            raise ValueError(f"no name of a folder: {name!r}")
        path = os.path.join(self.path, "." + name)
        if (name.isascii() and "&" not in name) or os.path.lexists(path):
            return path
        return self._old_directory(name) or path

    def _old_directory(self, name: str) -> str | None:
        """Give the directory that a folder has from a Courier before 5.0, if it has one."""
        try:
            path = os.path.join(self.path, "." + old_names.encode(name))
        except old_names.NotOld:
            return None
        is_there = os.path.isdir(os.path.join(path, "cur"))
        return path if is_there and not old_names.is_converted(self.path) else None

    def exists(self, name: str) -> bool:
        """Tell whether ``name`` is a folder: a directory with ``cur/`` in it.

        Raises:
            OSError: it can't be told.
        """
        if name and not is_name(name):
            return False
        directory = self.directory(name)
        try:
            return stat.S_ISDIR(os.stat(os.path.join(directory, "cur")).st_mode)
        except PermissionError as error:  # Courier: no folder, for whom its mode keeps out
            log.recurring("cannot look into", directory, error)
            return False
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                return False
            raise

    def folders(self) -> list[str]:
        """List the names of all folders, INBOX first, then sorted.

        Files and directories with a leading dot that are no folders are left out.
        """
        return ["", *sorted(set(self._found("")))]

    def meant(self, name: str) -> str:
        """Give the folder's name that a directory's name stands for."""
        if "&" not in name or not old_names.looks_old(name):
            return name
        meant = old_names.decode(name)
        is_new = os.path.lexists(os.path.join(self.path, "." + meant))
        return name if is_new or old_names.is_converted(self.path) or not is_name(meant) else meant

    def _reserve(self, name: str) -> None:
        """See to it that a new folder's name is taken for what it is, and not for an old one.

        Raises:
            OSError: it can't be told from the old ones that there are.
        """
        if not old_names.looks_old(name) or old_names.is_converted(self.path):
            return
        if any(old_names.looks_old(one[1:]) for one in os.listdir(self.path) if one[:1] == "."):
            raise OSError(errno.EINVAL, "convert the old names first (maildirmake)", name)
        old_names.note_converted(self.path)

    def below(self, name: str) -> Iterator[str]:
        """Give the folders below ``name`` (all but INBOX, if it is INBOX); looks at no others."""
        return self._found(f"{name}." if name else "")

    def _found(self, beginning: str) -> Iterator[str]:
        for entry in os.listdir(self.path):
            name = entry[1:]
            if entry.startswith(".") and is_name(name):
                meant = self.meant(name)
                if meant.startswith(beginning) and self._is_found(name):
                    yield meant

    def _is_found(self, name: str) -> bool:
        """Tell whether there is such a folder; one that can't be looked at hides no others."""
        try:
            return self.exists(name)
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise
            log.recurring("cannot look into", error.filename, error)
            return False

    def create(self, name: str, *, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Make a folder with its UIDVALIDITY, which is above any that this maildir has lost.

        It is built in ``tmp/`` and renamed: others see all of it or nothing, ``files`` included.

        Raises:
            FileExistsError: there is something of that name.
            OSError: it cannot be made; nothing is left.
        """
        target = self.directory(name)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self._reserve(name)
        built = os.path.join(self.path, "tmp", delivery.unique_name("folder"))
        try:
            for directory in ("", "tmp", "new", "cur"):
                path = os.path.join(built, directory)
                os.mkdir(path, 0o700)
                os.chmod(path, 0o700)  # whatever the umask
            with open(os.path.join(built, "maildirfolder"), "x") as file:
                os.fchmod(file.fileno(), 0o600)
            uidvalidity = uiddb.new_uidvalidity(time.time(), above=self._watermark())
            empty = uiddb.parse(b"1 %d 1\n" % uidvalidity)
            assert isinstance(empty, UidDb)
            uiddb.write(built, empty, sync=True)
            for file_name, content in files.items():
                delivery.write_atomically(built, file_name, content, sync=True)
            os.rename(built, target)
            delivery.sync_directory(self.path)
        except BaseException as error:
            shutil.rmtree(built, ignore_errors=True)
            if isinstance(error, OSError) and error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
            raise

    def delete(self, name: str) -> None:
        """Remove a folder with its messages; folders below it stay.

        It is renamed into ``tmp/`` first, so that nobody sees half of it, and a crash leaves it
        whole or out of sight. Of a symbolic link only the link goes.

        Raises:
            FileNotFoundError: there is no such folder.
            PermissionError: it is INBOX or the trash folder.
            OSError: it cannot be removed.
        """
        if name in ("", self.trash):
            raise PermissionError(errno.EPERM, "reserved folder", name)
        directory = self.directory(name)
        if stat.S_ISLNK(os.lstat(directory).st_mode):
            os.unlink(directory)
            return
        self._raise_watermark(directory)
        removed = os.path.join(self.path, "tmp", delivery.unique_name(_DELETED))
        os.rename(directory, removed)
        delivery.sync_directory(self.path)
        shutil.rmtree(removed, onerror=_log_removal)

    def rename(self, old: str, new: str) -> None:
        """Rename a folder and all below it; each gets a new UIDVALIDITY.

        The directories are renamed one by one, in the order of their names; if one can't be, those
        before it are renamed back. A crash leaves some of them renamed, no message lost. A new
        UIDVALIDITY is there before the new name, so it is also what a failure leaves.

        Raises:
            FileNotFoundError: there is neither such a folder nor one below it.
            FileExistsError: there is something under a new name.
            OSError: the system refused; all names are as before.
        """
        self.directory(new)  # a name at all
        moves = [
            (name, new + name[len(old) :])
            for name in self.folders()
            if name and (name == old or name.startswith(old + "."))
        ]
        if not moves:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        if new == old or new.startswith(old + "."):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), new)
        for _, target in moves:
            if len(os.fsencode(target)) > _LONGEST_NAME:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), target)
            if os.path.lexists(self.directory(target)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            self._reserve(target)
        done: list[tuple[str, str]] = []
        try:
            for name, target in moves:
                self._raise_watermark(self.directory(name))
                self._renumber(self.directory(name))
                os.rename(self.directory(name), self.directory(target))
                done.append((name, target))
        except OSError:
            for name, target in reversed(done):
                os.rename(self.directory(target), self.directory(name))
            raise
        delivery.sync_directory(self.path)

    def _renumber(self, directory: str) -> None:
        """Replace the UID database by an empty one with a new UIDVALIDITY.

        Courier removes the file; a crash would then leave the choice to whoever comes next. The
        folder's identifier stays (RFC 8474 4); a crash in between takes it away.
        """
        with FolderLock(directory, enabled=self.use_locks):
            before = uiddb.read(directory)
            uidvalidity = uiddb.new_uidvalidity(time.time(), above=self._watermark())
            empty = uiddb.parse(b"1 %d 1\n" % uidvalidity)
            assert isinstance(empty, UidDb)
            uiddb.write(directory, empty, sync=True)
            if before is not None:
                mailbox_id.carry(directory, before.uidvalidity, uidvalidity)

    def _watermark(self) -> int:
        try:
            with open(os.path.join(self.path, _WATERMARK), "rb") as file:
                return int(file.read(20))
        except (FileNotFoundError, ValueError):
            return 0

    def _raise_watermark(self, directory: str) -> None:
        """Note the UIDVALIDITY of a folder about to lose its name, if it could be given again.

        The clock gives a value out again within the same second (Courier sleeps two seconds
        instead), and values from before 2011 are above the clock's (another epoch).
        """
        try:
            database = uiddb.read(directory)
        except OSError as error:
            log.error("cannot read courierimapuiddb", directory, error)
            return
        if database is None or database.uidvalidity < uiddb.new_uidvalidity(time.time()):
            return
        if database.uidvalidity > self._watermark():
            text = b"%d\n" % database.uidvalidity
            delivery.write_atomically(self.path, _WATERMARK, text, sync=True)


def is_name(name: str) -> bool:
    """Tell whether ``name`` can be a folder's: components between single dots, no slash."""
    if "/" in name or "\0" in name or ".." in name or name[:1] in ("", ".") or name[-1] == ".":
        return False
    if len(name) * _LONGEST_CHARACTER <= _LONGEST_NAME:
        return True
    return len(os.fsencode(name)) <= _LONGEST_NAME


def remove_leftovers(path: str) -> None:
    """Finish the removal of folders whose deletion a crash cut short, in ``M/tmp``."""
    with contextlib.suppress(FileNotFoundError), os.scandir(os.path.join(path, "tmp")) as entries:
        for entry in entries:
            ours = f"_{_DELETED}." in entry.name or "_folder." in entry.name
            if ours and entry.is_dir(follow_symlinks=False):
                old = time.time() - entry.stat(follow_symlinks=False).st_ctime
                if old > delivery.TMP_LIFETIME_S:
                    shutil.rmtree(entry.path, ignore_errors=True)


def _log_removal(_: object, path: str, failure: tuple[object, BaseException, object]) -> None:
    if isinstance(failure[1], OSError) and not isinstance(failure[1], FileNotFoundError):
        log.error("cannot remove", path, failure[1])
