"""What a folder is called whatever its name is: MAILBOXID (RFC 8474 4).

It is made of the directory's inode number and the folder's UIDVALIDITY, which no two folders of a maildir
ever have in common. So that it stays when one of the two changes, ``pycourier-mailboxid``, in the
directory, has the identifier and the UIDVALIDITY for which it was given, in one line. The file goes with
the directory when that is renamed, or copied to another machine; real Courier leaves it alone. Under
another UIDVALIDITY it counts no longer, for the UIDs have changed: only our own RENAME carries it over.
Whoever may read a folder of another user, and not write there, has the same identifier for it.

Two folders have the same one if somebody copies a directory with all that is in it. That is not told
from a maildir that was moved to another machine, which is common and has to keep its identifiers.
"""

from __future__ import annotations

import os
import re
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
    """Give the identifier; the owner of the folder keeps it if nobody has.

    Others see no file or the whole of it; so does a crash leave it.
    """
    uidvalidity = folder.uidvalidity
    found = _of(folder.path, uidvalidity)
    if found is not None:
        return found
    place = os.stat(folder.path)
    try:
        if place.st_uid != os.geteuid():
            return _made(place, uidvalidity)
        with FolderLock(folder.path, enabled=folder.options.use_locks):
            found = _of(folder.path, uidvalidity)
            if found is None:
                found = _made(place, uidvalidity)
                _keep(folder.path, found, uidvalidity)
            return found
    except OSError:  # a full disk, a lock that is not to be had: another time
        return _of(folder.path, uidvalidity) or _made(place, uidvalidity)


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


def _made(place: os.stat_result, uidvalidity: int) -> str:
    seed = f"{place.st_ino} {uidvalidity}".encode()
    return f"F{blake2b(seed, digest_size=12).hexdigest()}"
