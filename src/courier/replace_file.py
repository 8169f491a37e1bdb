"""Replace a settings file as a whole, keeping the old one beside it.

At every moment the file is there, either the old one or the new one, complete and on the disk.
The new one is nowhere more open than the old one was: it keeps owner, group, access control list
and security label, and of the permissions those that the template has, too.
"""

import errno
import os
import shutil
import stat
from pathlib import Path

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def real_path(path: Path) -> Path:
    """Follow a symbolic link that root or the caller made; ``path`` itself, if it is none.

    Raises:
        OSError: the link is somebody else's, or leads nowhere.
    """
    if not path.is_symlink():
        return path
    if path.lstat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.EPERM, "Symbolic link of another user, not followed", str(path))
    return path.resolve(strict=True)


def read(path: Path) -> bytes | None:
    """Return a regular file's content, None if there is no file.

    Raises:
        OSError: it can't be read, or is something else.
    """
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "No regular file", str(path))
    with open(descriptor, "rb") as file:
        return file.read()


def replace(path: Path, data: bytes, template: os.stat_result) -> None:
    """Make ``data`` the content of ``path``; the file before goes to `.bak`, untouched.

    A crash leaves the old file or the new one, perhaps with `.new` or `.bak.new` beside it, which
    the next call removes.

    Raises:
        OSError: nothing was replaced; its file name is `.new` or `.bak`.
    """
    new = path.with_name(path.name + ".new")
    try:
        _write(new, data, path, template)
        _back_up(path)
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _write(new: Path, data: bytes, old: Path, template: os.stat_result) -> None:
    new.unlink(missing_ok=True)
    with open(os.open(new, _CREATE, 0o600), "wb") as file:
        descriptor = file.fileno()
        try:
            before = old.stat()
        except FileNotFoundError:
            mode = _own(descriptor, template, stat.S_IMODE(template.st_mode))
        else:
            mode = stat.S_IMODE(before.st_mode) & stat.S_IMODE(template.st_mode)
            mode = _own(descriptor, before, mode)
            _copy_attributes(old, descriptor)
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode & 0o777)
        os.fsync(descriptor)


def _own(descriptor: int, like: os.stat_result, mode: int) -> int:
    """Give the file its owner; return the mode without what was meant for a group it can't get."""
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except PermissionError:
        if os.fstat(descriptor).st_gid != like.st_gid:
            return mode & ~0o070
    return mode


def _copy_attributes(old: Path, descriptor: int) -> None:
    for name in os.listxattr(old):
        try:
            os.setxattr(descriptor, name, os.getxattr(old, name))
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENODATA, errno.EINVAL):
                raise


def _back_up(path: Path) -> None:
    """Give the file a second name, `.bak`: a link, so that it stays what it was."""
    backup = path.with_name(path.name + ".bak")
    link = path.with_name(path.name + ".bak.new")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except FileNotFoundError:
        return
    except PermissionError:  # no hard links here, or not to another user's file
        shutil.copy2(path, link)
    os.rename(link, backup)
    link.unlink(missing_ok=True)  # rename does nothing between two names of one file


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
