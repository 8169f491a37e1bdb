"""Files that appear in a folder whole or not at all.

Everything is written under a unique name in F/tmp first and then linked or renamed to where others
look. Unique names are Courier's (its generator serves messages and all other files alike):

    tmp       T.M<microseconds>P<pid>[_uniq].H
    new, cur  T.M<microseconds>P<pid>V<device>I<inode>[_uniq].H,S=<octets>

A crash can leave files in F/tmp and nothing else; purge_tmp removes them after 36 hours, ours and
everybody's. No two files get the same name: tmp names are created exclusively, and the inode number
in a final name belongs to no other file while this one exists.
"""

import errno
import itertools
import os
import re
import socket
import stat
import time
from types import TracebackType
from typing import Literal, Self

from courier.maildir import filename

TMP_LIFETIME_S = 36 * 3600
#: Octets of a file that is read whole: what courierimapuiddb has for millions of messages.
MAX_FILE = 256 << 20
#: Octets of a message that is read whole.
MAX_MESSAGE = 2 << 30

_ATTEMPTS = 1000
_HOST_OCTETS = 128  # leaves a base of 238 octets enough room for all the rest
_UNSAFE_IN_HOST = re.compile(rb"[\x00-\x20/:\x7f]")
_messages = itertools.count()


class TemporaryFile:
    """A message on its way into a folder: a file in F/tmp, landed in cur/ or new/, or discarded.

    As a context manager it removes on exit what was not landed. With ``sync`` the content is on
    disk before land makes it visible; the name is on disk after ``sync_directory`` of the directory
    it landed in, which a caller with many messages needs only once.

    A crash before land leaves one file in tmp/, and no message.

    Raises:
        OSError: from every method; nothing is visible, and discard removes the file in tmp/.
    """

    def __init__(self, folder: str, *, sync: bool = False, uniq: str | None = None) -> None:
        """``uniq`` is a part of the name; by default a number, for who delivers several."""
        self._folder = folder
        self._sync = sync
        self._uniq = str(next(_messages)) if uniq is None else uniq
        self._fd, self.path = create_temporary(folder, self._uniq, 0o666)
        self._stat = os.fstat(self._fd)
        self._landed = False
        self.size = 0
        """Octets written so far."""

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        write_all(self._fd, data)
        self.size += len(data)

    def close(self, mtime: int | None = None) -> None:
        """End the content, give it ``mtime`` (seconds; the message's internal date), sync, close.

        The date is set here and not, as Courier does it, once the message is visible: nobody can
        see it with a wrong date. Called by land; call it before to keep waiting for the disk apart.
        """
        if self._fd < 0:
            return
        if mtime is not None:
            os.utime(self._fd, (mtime, mtime))
        if self._sync:
            os.fsync(self._fd)
        fd, self._fd = self._fd, -1
        os.close(fd)

    def land(
        self, directory: Literal["cur", "new"], flags: int = 0, mtime: int | None = None
    ) -> bytes:
        """Make the message visible, whole, in ``directory`` and return its file name there.

        In new/ the name has no flags. A crash in between leaves the message visible and a second
        name of it in tmp/. On failure nothing is visible.
        """
        self.close(mtime)
        name = self._final_name()
        if directory == "cur":
            name = filename.with_flags(name, flags)
        target = os.path.join(self._folder, directory, os.fsdecode(name))
        try:
            os.link(self.path, target)
        except OSError as error:
            # AFS can't link between directories, but can rename. Courier: likewise.
            if error.errno != errno.EXDEV:
                raise
            os.rename(self.path, target)
        self._landed = True
        unlink_quietly(self.path)
        return name

    def discard(self) -> None:
        """Give the file up, unless it has landed. Never raises."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            _close_quietly(fd)
        if not self._landed:
            unlink_quietly(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.discard()

    def _final_name(self) -> bytes:
        seconds, process = os.path.basename(self.path).split(".", 2)[:2]
        start = f"{seconds}.{process.partition('_')[0]}"
        return _landed_name(start, self._uniq, self._stat, self.size)


def new_name(found: os.stat_result) -> bytes:
    """Return a new name, without flags, for a message whose file exists already."""
    return _landed_name(_now(), str(next(_messages)), found, found.st_size)


def _landed_name(start: str, uniq: str, found: os.stat_result, size: int) -> bytes:
    place = f"V{found.st_dev:016X}I{found.st_ino:016X}"
    place += f"_{uniq}" if uniq else ""
    return os.fsencode(start + place) + b"." + host_name() + b",S=%d" % size


def create_temporary(folder: str, uniq: str = "", mode: int = 0o644) -> tuple[int, str]:
    """Create an empty file in F/tmp under a unique name; return its descriptor and path.

    ``uniq`` tells what it is for (``acl``, ``courierlock``); it is part of the name.
    """
    for _ in range(_ATTEMPTS):
        path = os.path.join(folder, "tmp", unique_name(uniq))
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), path
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def unique_name(uniq: str = "") -> str:
    """Return a new name for a file in tmp/: time, process, ``uniq``, host."""
    name = _now()
    return (
        f"{name}_{uniq}.{os.fsdecode(host_name())}"
        if uniq
        else f"{name}.{os.fsdecode(host_name())}"
    )


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}"


def host_name() -> bytes:
    """Return this host's name as it stands in file names: no slash, colon or control character.

    Courier puts it in as it is, and gets unusable names from a HOSTNAME with a slash.
    """
    host = os.environb.get(b"HOSTNAME") or os.fsencode(socket.gethostname())
    return _UNSAFE_IN_HOST.sub(lambda found: b"\\%03o" % found[0][0], host)[:_HOST_OCTETS]


def write_atomically(
    folder: str, target: str, data: bytes, uniq: str = "", *, mode: int = 0o644, sync: bool = False
) -> None:
    """Replace the file ``target`` (a path relative to ``folder``) by ``data``, at once.

    Others see the old content or the new, never a part; so does everybody after a crash, given
    ``sync``. On any error the old file stays and no new one is left in tmp/ - except that a failure
    to sync the directory, the last step, is raised with the new file in place.
    """
    path = os.path.join(folder, target)
    temporary = write_temporary(folder, data, uniq, mode=mode, sync=sync)
    try:
        os.rename(temporary, path)
    except BaseException:
        unlink_quietly(temporary)
        raise
    if sync:
        sync_directory(os.path.dirname(path))


def write_temporary(
    folder: str, data: bytes, uniq: str = "", *, mode: int = 0o644, sync: bool = False
) -> str:
    """Write ``data`` to a new file in F/tmp and return its path. On any error there is no file."""
    fd, temporary = create_temporary(folder, uniq, mode)
    try:
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
    except BaseException:
        unlink_quietly(temporary)
        raise
    return temporary


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write the whole of ``data``, however little the system takes at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: str) -> None:
    """Put the names in a directory on disk. File systems that can't are taken as they are."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def read_regular(
    path: str | bytes, dir_fd: int | None = None, *, follow: bool = False, most: int = MAX_FILE
) -> tuple[bytes, os.stat_result]:
    """Return the content of a regular file, and what it was when opened.

    Args:
        most: octets. A larger file, which takes no room if it is full of holes, could take all memory.

    Raises:
        OSError: ELOOP for a symbolic link (unless it is to be followed), EINVAL for a FIFO, device
            or directory; EFBIG for one that is too large; all others.
    """
    fd, found = open_regular(path, dir_fd, follow=follow)
    try:
        if found.st_size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        data = os.read(fd, found.st_size + 1)
        if len(data) == found.st_size:
            return data, found
        # It grows, shrinks or is larger than one call can read.
        os.lseek(fd, 0, os.SEEK_SET)
        with open(fd, "rb", buffering=0, closefd=False) as file:
            return file.readall(), found
    finally:
        os.close(fd)


def open_regular(
    path: str | bytes, dir_fd: int | None = None, *, follow: bool = False
) -> tuple[int, os.stat_result]:
    """Open a regular file to be read; return its descriptor, and what it is.

    Raises: as `read_regular`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    fd = os.open(path, flags, dir_fd=dir_fd)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
    except BaseException:
        os.close(fd)
        raise
    return fd, found


def purge_tmp(folder: str, now: float) -> int:
    """Remove what has lain in F/tmp for over 36 hours (by ctime) and return how many files.

    Whatever it is: a stale courier.lock too. Names with a leading dot stay. Neither tmp/ itself nor
    what is in it is followed when it is a symbolic link.
    """
    removed = 0
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(os.path.join(folder, "tmp"), flags)
    try:
        for name in os.listdir(directory):
            if name.startswith("."):
                continue
            try:
                if os.lstat(name, dir_fd=directory).st_ctime < now - TMP_LIFETIME_S:
                    os.unlink(name, dir_fd=directory)
                    removed += 1
            except OSError:
                continue  # gone already, a directory, or not ours to remove
    finally:
        os.close(directory)
    return removed


def unlink_quietly(path: str) -> None:
    """Remove a file in tmp/ that is not needed any more; if that fails, purge_tmp gets it."""
    try:
        os.unlink(path)
    except OSError:
        pass


def _close_quietly(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass
