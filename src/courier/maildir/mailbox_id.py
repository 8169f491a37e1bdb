"""What a folder is called whatever its name is: MAILBOXID (RFC 8474 4).

``pycourier-mailboxid``, in the folder's directory, has the identifier and the UIDVALIDITY for which it
was given, in one line. It goes with the directory when that is renamed, and can't be made again if it
is lost; real Courier leaves it alone. Under another UIDVALIDITY it counts no longer, for the UIDs have
changed: only our own RENAME carries it over.

Two folders have the same one if somebody copies a directory with all that is in it. That is not told
from a maildir that was moved to another machine, which is common and has to keep its identifiers.
"""

from __future__ import annotations

import os
import re
import secrets
from hashlib import blake2b

from courier.maildir import delivery
from courier.maildir.folder import Folder
from courier.maildir.lock import FolderLock

NAME = "pycourier-mailboxid"
_LINE = re.compile(rb"(F[0-9a-f]{24}) ([0-9]{1,10})\n")


def known(folder: Folder) -> str | None:
    """Give the identifier if there is one. The folder has a UIDVALIDITY."""
    return _of(folder.path, folder.uidvalidity)


def of(folder: Folder) -> str:
    """Give the identifier; the first one to ask makes it.

    Others see none or the whole file; so does a crash leave it. Of a folder in which this process may
    not write, and nobody has made one, it is what the system calls the directory.
    """
    uidvalidity = folder.uidvalidity
    try:
        with FolderLock(folder.path, enabled=folder.options.use_locks):
            found = _of(folder.path, uidvalidity)
            if found is None:
                found = f"F{secrets.token_hex(12)}"
                _keep(folder.path, found, uidvalidity)
            return found
    except OSError:
        return _of(folder.path, uidvalidity) or _derived(folder.path, uidvalidity)


def carry(directory: str, old: int, new: int) -> None:
    """Have a folder that is about to get another UIDVALIDITY keep its identifier.

    Raises:
        OSError: it will get another one.
    """
    found = _of(directory, old)
    if found is not None:
        _keep(directory, found, new)


def _of(directory: str, uidvalidity: int) -> str | None:
    try:
        data, _ = delivery.read_regular(os.path.join(directory, NAME))
    except OSError:
        return None
    line = _LINE.fullmatch(data)
    if line is None or int(line[2]) != uidvalidity:
        return None
    return line[1].decode("ascii")


def _keep(directory: str, identifier: str, uidvalidity: int) -> None:
    line = f"{identifier} {uidvalidity}\n".encode()
    delivery.write_atomically(directory, NAME, line, "mailboxid", sync=True)


def _derived(directory: str, uidvalidity: int) -> str:
    found = os.stat(directory)
    place = f"{found.st_dev} {found.st_ino} {uidvalidity}".encode()
    return f"G{blake2b(place, digest_size=12).hexdigest()}"
