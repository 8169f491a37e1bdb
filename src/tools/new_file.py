"""Write a file that the mail system's user may read and nobody else: keys, parameters."""

import os
import pwd
import tempfile
from pathlib import Path

# Courier: its STARTTLS reads the certificate as this user, so that an administrator may go back.
MAIL_USER = "courier"


def create(path: Path, data: bytes) -> None:
    """Write a file that isn't there yet: it appears complete, or not at all.

    Raises:
        FileExistsError: there is one.
        OSError: it can't be written.
    """
    new = _written(path, data, None)
    try:
        os.link(new, path)
    finally:
        new.unlink()


def replace(path: Path, data: bytes) -> None:
    """Write a file, or put another one in its place with the same owner and mode.

    Raises:
        OSError: it can't be written; what was there still is.
    """
    try:
        like = path.stat()
    except FileNotFoundError:
        like = None
    new = _written(path, data, like)
    try:
        os.rename(new, path)
    except OSError:
        new.unlink()
        raise


def _written(path: Path, data: bytes, like: os.stat_result | None) -> Path:
    """Write ``data`` to a file beside ``path``, 0600 and the mail user's, or as ``like`` says."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if os.geteuid() == 0:
                uid, gid = (like.st_uid, like.st_gid) if like else _mail_user()
                os.fchown(descriptor, uid, gid)
            if like:
                os.fchmod(descriptor, like.st_mode & 0o777)
            os.fsync(descriptor)
    except BaseException:
        new.unlink()
        raise
    return new


def _mail_user() -> tuple[int, int]:
    try:
        return pwd.getpwnam(MAIL_USER).pw_uid, -1
    except KeyError:
        return -1, -1
