"""authdaemon.key: what the challenges are made of that nobody's stored secret gives (`challenge`).

Made at the first start, with mode 0600, and left alone. Machines that know the same accounts, and that
the same clients come to, should have the same file: an administrator copies it. Who reads it can tell
which accounts have no stored secret, and no more.
"""

from __future__ import annotations

import os

from authdaemond import log
from courier import paths

FILE = paths.LOCALSTATEDIR / "authdaemon.key"
_SIZE = 32


def load() -> bytes:
    """Read the key, or make one. If neither works, give one that lasts until the daemon ends."""
    for _ in range(2):
        try:
            with open(FILE, "rb", opener=_opener) as file:
                found = file.read(_SIZE)
            if len(found) == _SIZE:
                return found
            log.error(f"{FILE}: expected {_SIZE} octets, found {len(found)}")
            break
        except FileNotFoundError:
            made = os.urandom(_SIZE)
            try:
                _make(made)
            except FileExistsError:
                continue  # somebody was faster
            except OSError as error:
                log.system_error("cannot make a key", error)
                break
            return made
        except OSError as error:
            log.system_error("cannot read the key", error)
            break
    return os.urandom(_SIZE)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _make(key: bytes) -> None:
    """Others see no file or the whole one. Raises FileExistsError where one is."""
    FILE.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = FILE.with_name(f"{FILE.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        os.link(new, FILE)
    finally:
        new.unlink()
