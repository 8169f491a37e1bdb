"""A folder's numbers without opening it: for STATUS, and for ``\\Marked`` in LIST.

Nothing is moved or written, except that a folder that never had a UIDVALIDITY gets one.
"""

from __future__ import annotations

from dataclasses import dataclass

from courier.maildir import filename, scan, uiddb
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder


@dataclass(frozen=True, slots=True)
class Status:
    messages: int
    recent: int
    uidnext: int
    uidvalidity: int
    unseen: int


def read(folder: Folder) -> Status:
    """Count what is in the directories now.

    Messages without a UID count towards ``uidnext``, as if they had been given theirs.

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
    return Status(
        messages=len(flags),
        recent=len((new.keys() - cur.keys()) | unknown),
        uidnext=database.uidnext + len(unknown),
        uidvalidity=database.uidvalidity,
        unseen=sum(1 for value in flags if not value & Flag.SEEN),
    )


def has_unseen(path: str) -> bool:
    """Tell whether some message has not been seen; False if the folder can't be read."""
    try:
        names = scan.listing(path, "new") + scan.listing(path, "cur")
    except OSError:
        return False
    return any(not filename.flags(name) & Flag.SEEN for name in names)
