"""Files of our own beside a folder: used only if nobody else can have written them, replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterable

from courier.maildir.snapshot import Unusable


def opened(path: str) -> int:
    """Open a file to be read and written, if it is one of ours.

    Raises:
        Unusable: it is absent, no regular file, or others than this user may have written it.
        OSError: it can't be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unusable("") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            raise Unusable("no regular file") from None
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        reason = "no regular file"
    elif found.st_uid != os.geteuid():
        reason = "belongs to another user"
    elif found.st_mode & 0o022:
        reason = "others may write it"
    else:
        return fd
    os.close(fd)
    raise Unusable(reason)


def made(path: str | None, name: str, fill: Callable[[int], None], temporary: str | None) -> int:
    """Make a file in memory, or put one under its name in a directory; give its descriptor.

    Others see the old file or the new one; a crash may leave ``NAME.something`` behind, in
    the directory ``temporary`` if it is given.

    Raises: OSError.
    """
    if path is None:
        fd = os.memfd_create(name)
        fill(fd)
        return fd
    fd, unfinished = tempfile.mkstemp(prefix=f"{name}.", dir=temporary or path)
    try:
        fill(fd)
        os.rename(unfinished, os.path.join(path, name))
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    return fd


def replace(
    path: str, name: str, content: Iterable[bytes | memoryview], temporary: str | None = None
) -> int:
    """Put a file with this content under its name in a directory; see `made`."""

    def fill(fd: int) -> None:
        at = 0
        for part in content:
            at = write_at(fd, part, at)

    return made(path, name, fill, temporary)


def write_at(fd: int, data: bytes | memoryview, at: int) -> int:
    """Write all of it, and tell where it ends."""
    write(fd, data, at)
    return at + len(data)


def write(fd: int, data: bytes | memoryview, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
