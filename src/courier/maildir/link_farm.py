"""The folder in which somebody reads another maildir's folder: one symbolic link for each message.

    M/shared-folders/NICK/NAME/   tmp new cur, and
        shared                    the link to the folder with the messages, the source
        shared-timestamp          when cur/ and new/ here were last compared with the source's
        courierimapuiddb, …       as in every folder

There is one exactly if the reader has subscribed to the folder. One that he looked at otherwise, or has left,
lies in M/shared-folders/.unsubscribed/NICK/NAME.

So UIDs, flags and keywords are each reader's own; the messages are in the source alone. The
links bear the message's base name and the reader's flags, and lead to the source's cur/.

Another maildir's owner decides what its links lead to, so links are followed only to where they may lead: a
message file of the source's cur/, which is no link itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from dataclasses import dataclass

from courier.maildir import delivery, filename, scan
from courier.maildir.lock import FolderLock
from courier.maildir.scan import FolderGone

DIRECTORY = "shared-folders"
#: Farms that nobody is subscribed to; a name with a dot is none of Courier's.
_ASIDE = ".unsubscribed"
_TIMESTAMP = "shared-timestamp"
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class LinkFarm:
    """The farm of one shared folder in one maildir, whether it is there or not."""

    maildir: str
    nick: str
    name: str  # dotted, as Maildir++ has it
    source: str

    @property
    def directory(self) -> str:
        """Where it is for a reader who has subscribed to the folder: that is what subscribing is."""
        return os.path.join(self.maildir, DIRECTORY, self.nick, self.name)

    @property
    def _aside(self) -> str:
        return os.path.join(self.maildir, DIRECTORY, _ASIDE, self.nick, self.name)

    def exists(self) -> bool:
        return _is_farm(self.directory)

    def make(self) -> None:
        """Have the farm, without a link yet if it is new; nothing happens if it is there.

        It is built in ``tmp/``, or was set aside, and renamed: others see all of it or nothing.
        """
        if not self.exists():
            self._place(self.directory, self._aside if self._is_aside() else self._build())

    def look(self) -> str:
        """Give the directory of a farm without subscribing to the folder."""
        if self.exists():
            return self.directory
        if not self._is_aside():
            self._place(self._aside, self._build())
        return self._aside

    def remove(self) -> None:
        """Set the farm aside. It has the reader's UIDs, flags and keywords, should he come back.

        Courier removes it, and takes one set aside for nothing.
        """
        if os.path.lexists(self._aside):
            self._discard(self._aside)
        self._place(self._aside, self.directory)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(self.directory))  # unless others are in it

    def _is_aside(self) -> bool:
        """Tell whether there is a farm set aside, and of this very folder."""
        try:
            return _is_farm(self._aside) and os.readlink(f"{self._aside}/shared") == self.source
        except OSError:
            return False

    def _build(self) -> str:
        built = os.path.join(self.maildir, "tmp", delivery.unique_name("folder"))
        try:
            for directory in ("", "tmp", "new", "cur"):
                os.mkdir(os.path.join(built, directory), 0o700)
            os.symlink(self.source, os.path.join(built, "shared"))
        except OSError:
            shutil.rmtree(built, ignore_errors=True)
            raise
        return built

    def _place(self, target: str, farm: str) -> None:
        """Rename a farm to where it is to be; what is no farm there makes room."""
        try:
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            if os.path.lexists(target) and not _is_farm(target):
                self._discard(target)
            os.rename(farm, target)
        except OSError:
            if farm not in (self.directory, self._aside):
                shutil.rmtree(farm, ignore_errors=True)
            if not _is_farm(target):  # another session was first
                raise

    def _discard(self, directory: str) -> None:
        removed = os.path.join(self.maildir, "tmp", delivery.unique_name("deleted"))
        os.rename(directory, removed)
        shutil.rmtree(removed, ignore_errors=True)


def _is_farm(directory: str) -> bool:
    return os.path.isdir(os.path.join(directory, "cur"))


def farms(maildir: str) -> list[tuple[str, str]]:
    """List the farms of a maildir: nick and folder's name, sorted."""
    found = []
    top = os.path.join(maildir, DIRECTORY)
    for nick in _entries(top):
        for name in _entries(os.path.join(top, nick)):
            if _is_farm(os.path.join(top, nick, name)):
                found.append((nick, name))
    return sorted(found)


def _entries(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if not name.startswith(".")]
    except OSError:
        return []


def synchronise(directory: str, source: str, *, use_locks: bool = True) -> None:
    """Make the links of a farm those of the source's messages, if the source has changed.

    Others see each link come, go or lead elsewhere by itself; a crash leaves the rest to the next
    time, because the time stamp is set last.

    Raises:
        FolderGone: the source is not there, or not to be looked into.
        OSError: links can't be made.
    """
    if is_current(directory, source):
        return
    with FolderLock(directory, enabled=use_locks):
        if os.access(os.path.join(source, "new"), os.W_OK):
            scan.take_new(source)  # what is not ours may stay there
        changed = _changed(source)
        _link(directory, source)
        _stamp(directory, changed)


def is_current(directory: str, source: str) -> bool:
    """Tell whether the links are those of the source's messages. Raises FolderGone."""
    return _stamped(directory) > _changed(source)


def _link(directory: str, source: str) -> None:
    linked = {sub: scan.listing(directory, sub) for sub in ("cur", "new")}
    known = {filename.base(name) for names in linked.values() for name in names}
    wanted = scan.present(source, known)
    target = os.fsencode(os.path.join(source, "cur"))
    for sub, names in linked.items():
        for name in names:
            path = os.path.join(os.fsencode(os.path.join(directory, sub)), name)
            there = wanted.pop(filename.base(name), None)
            if not os.path.islink(path):
                continue  # nothing of ours
            if there is None:
                os.unlink(path)
            elif os.readlink(path) != os.path.join(target, there):
                _replace(directory, os.path.join(target, there), path)
    new = os.fsencode(os.path.join(directory, "new"))
    for base, there in wanted.items():
        _replace(directory, os.path.join(target, there), os.path.join(new, base + b":2,"))


def add(directory: str, source: str, name: bytes, flags: int) -> None:
    """Link a message that was just put into the source, with flags of the reader's own."""
    target = os.path.join(os.fsencode(source), b"cur", name)
    link = filename.with_flags(filename.base(name), flags)
    _replace(directory, target, os.path.join(os.fsencode(directory), b"cur", link))


def _replace(directory: str, target: bytes, path: bytes) -> None:
    temporary = os.path.join(directory, "tmp", delivery.unique_name("newlink"))
    os.symlink(target, temporary)
    try:
        os.rename(temporary, path)
    except OSError:
        delivery.unlink_quietly(temporary)
        raise


def follow(link: bytes, source: str) -> bytes:
    """Give the message file that a link leads to.

    Raises:
        FileNotFoundError: the link is gone, or what it leads to is in no place for a message.
        OSError: it is no link.
    """
    directory = os.path.join(os.fsencode(source), b"cur")
    top, name = os.path.split(os.readlink(link))
    if top != directory or not filename.acceptable(name):
        raise FileNotFoundError(2, "leads elsewhere", os.fsdecode(link))
    path = os.path.join(directory, name)
    if os.path.lexists(path):
        return path
    there = scan.present(source, {filename.base(name)}).get(filename.base(name))
    if there is None:
        raise FileNotFoundError(2, os.strerror(2), os.fsdecode(path))
    return os.path.join(directory, there)


def _changed(source: str) -> int:
    try:
        times = [os.stat(os.path.join(source, name)) for name in ("new", "cur")]
    except OSError as error:
        raise FolderGone(error.errno, error.strerror, source) from error
    if not all(stat.S_ISDIR(found.st_mode) for found in times):
        raise FolderGone(20, os.strerror(20), source)
    return max(found.st_mtime_ns for found in times)


def _stamped(directory: str) -> int:
    try:
        return os.lstat(os.path.join(directory, _TIMESTAMP)).st_mtime_ns
    except FileNotFoundError:
        return -1


def _stamp(directory: str, changed: int) -> None:
    """Say when the source was read; later than its change only if no other can be of that moment."""
    now = time.time_ns()
    stamp = now if now - changed > _SETTLED_NS else changed
    temporary = delivery.write_temporary(directory, b"\0", "sync", mode=0o600)
    os.utime(temporary, ns=(stamp, stamp))
    os.rename(temporary, os.path.join(directory, _TIMESTAMP))
