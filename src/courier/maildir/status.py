"""A folder's numbers without opening it: for STATUS, and for ``\\Marked`` in LIST.

Nothing is moved or written, except that a folder that never had a UIDVALIDITY gets one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from courier.maildir import filename, quota, scan, uiddb
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder


@dataclass(frozen=True, slots=True)
class Status:
    messages: int
    recent: int
    uidnext: int
    uidvalidity: int
    unseen: int
    deleted: int
    deleted_storage: int = 0  # octets


def read(folder: Folder, *, sizes: bool = False) -> Status:
    """Count what is in the directories now.

    Messages without a UID count towards ``uidnext``, as if they had been given theirs.

    Args:
        sizes: look up how much room messages marked as deleted take.

    Raises:
        FolderGone, OSError: as `Folder.synchronise`.
    """
    database = uiddb.read(folder.path)
    if database is None:
        database = folder.begin()
    new = {filename.base(name): name for name in scan.listing(folder.path, "new")}
    known = set(database.bases)
    cur = scan.present(folder.path, known - new.keys())
    unknown = (new.keys() | cur.keys()) - known
    flags = [filename.flags(name) for name in (new | cur).values()]
    deleted = [name for name in cur.values() if filename.flags(name) & Flag.DELETED]
    top = os.path.join(os.fsencode(folder.path), b"cur")
    octets = (quota.octets_of(os.path.join(top, name)) or 0 for name in deleted if sizes)
    return Status(
        messages=len(flags),
        recent=len((new.keys() - cur.keys()) | unknown),
        uidnext=database.uidnext + len(unknown),
        uidvalidity=database.uidvalidity,
        unseen=sum(1 for value in flags if not value & Flag.SEEN),
        deleted=len(deleted),
        deleted_storage=sum(octets),
    )


def has_unseen(path: str) -> bool:
    """Tell whether some message has not been seen; False if the folder can't be read."""
    try:
        names = scan.listing(path, "new") + scan.listing(path, "cur")
    except OSError:
        return False
    return any(not filename.flags(name) & Flag.SEEN for name in names)
