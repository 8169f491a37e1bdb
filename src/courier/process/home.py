"""AUTH_MKHOMEDIR_SKEL: homes that are made when their accounts log in for the first time.

The copy is made as root, in a directory that may be the account's own or that of all virtual ones.
So nothing is done by path below it: the copy grows under another name in a directory that is
root's alone, each step relative to an open directory and following no link, and is given away and
renamed when it is complete.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from courier import log
from courier.process.privileges import Ids

#: Seconds for which a home that was there is believed to be there still.
_KNOWN_S = 60.0
_MAX_KNOWN = 10_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Homes:
    """Which accounts' homes need a look before they are let in."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def is_known(self, home: str) -> bool:
        return time.monotonic() - self._known.get(home, float("-inf")) < _KNOWN_S

    def saw(self, home: str) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[home] = time.monotonic()


def make(home: str, skeleton: Path, ids: Ids) -> None:
    """Copy ``skeleton`` to ``home`` if there is nothing of that name, for the account's user.

    Directories, files and symbolic links, with their modes; anything else is left out. Others see
    no home or the whole one. A crash leaves a directory of root's beside it, whose name begins
    with a dot. What goes wrong is logged, and no reason to turn the account away.
    """
    path = Path(os.path.abspath(home))
    try:
        if _is_there(path) or not skeleton.is_dir():
            return
        # Courier: the home alone is made, no directory above it.
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        log.warn(f"{home}: {error.strerror}!!")
        return
    unfinished = f".{path.name}.{secrets.token_hex(8)}"
    umask = os.umask(0)
    try:
        _copy_directory(skeleton, parent, unfinished, ids)
        os.rename(unfinished, path.name, src_dir_fd=parent, dst_dir_fd=parent)
        os.fsync(parent)
    except OSError as error:
        if not _is_there(path):  # another log-in may have been faster
            log.warn(f"{error.filename or home}: {error.strerror}!!")
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished, dir_fd=parent)
    finally:
        os.umask(umask)
        os.close(parent)


def _is_there(path: Path) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return os.path.islink(path)  # a link to nothing is for the administrator
    return True


def _copy_directory(source: Path, parent: int, name: str, ids: Ids) -> None:
    """Copy a directory; nobody but root gets into the copy until it is complete."""
    mode = stat.S_IMODE(source.stat().st_mode)
    os.mkdir(name, 0o700, dir_fd=parent)
    with _opened(name, _DIRECTORY, parent) as made:
        for entry in os.scandir(source):
            _copy(entry, made, ids)
        os.fchown(made, ids.uid, ids.gid)
        os.fchmod(made, mode)


def _copy(entry: os.DirEntry[str], parent: int, ids: Ids) -> None:
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), entry.name, dir_fd=parent)
        os.chown(entry.name, ids.uid, ids.gid, dir_fd=parent, follow_symlinks=False)
    elif entry.is_dir():
        _copy_directory(Path(entry.path), parent, entry.name, ids)
    elif entry.is_file():
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(entry.path, "rb") as read, _opened(entry.name, new, parent) as descriptor:
            with open(descriptor, "wb", closefd=False) as written:
                shutil.copyfileobj(read, written)
            os.fchown(descriptor, ids.uid, ids.gid)
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(read.fileno()).st_mode))
            os.fsync(descriptor)


@contextmanager
def _opened(name: str, flags: int, parent: int) -> Iterator[int]:
    descriptor = os.open(name, flags, 0o600, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
