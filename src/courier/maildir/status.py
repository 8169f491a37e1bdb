"""A folder's numbers without opening it: for STATUS, and for ``\\Marked`` in LIST.

Nothing is moved or written, except that a folder that never had a UIDVALIDITY gets one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from courier.maildir import counting, filename, scan, sizing, uiddb
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder


class Status(NamedTuple):
    messages: int
    recent: int
    uidnext: int
    uidvalidity: int
    unseen: int
    deleted: int
    deleted_storage: int = 0  # octets


_SEEN = bytes(flags for flags in range(32) if flags & Flag.SEEN)
_DELETED = bytes(flags for flags in range(32) if not flags & Flag.DELETED)


def read(folder: Folder, *, sizes: bool = False) -> Status:
    """Count what is in the directories now.

    Messages without a UID count towards ``uidnext``, as if they had been given theirs. ``cur/`` is
    not listed if the folder's index says what is in it.

    Args:
        sizes: look up how much room messages marked as deleted take.

    Raises:
        FolderGone, OSError: as `Folder.synchronise`.
    """
    return read_with_size(folder, sizes=sizes, total=False)[0]


def read_with_size(folder: Folder, *, sizes: bool, total: bool) -> tuple[Status, int | None]:
    """Do what `read` does, and with ``total`` sum up the messages' sizes in wire form, too.

    Returns: no sum if something is kept of messages, or should be, and the folder has to be read for that.

    Raises: as `read`.
    """
    return _from_index(folder, sizes, total) or _listed(folder, sizes, total)


def _from_index(folder: Folder, sizes: bool, total: bool) -> tuple[Status, int | None] | None:
    """Count with the help of the index; None if it does not say what is in ``cur/``."""
    known = folder.known()
    if known is None:
        return None
    columns, is_new_known = known
    names: list[bytes] = []
    if not is_new_known:
        waiting = {filename.base(name): name for name in scan.listing(folder.path, "new")}
        for uid in columns.in_new:
            message = columns.message(uid)
            if message is None or waiting.pop(filename.base(message.name), None) is None:
                return None  # on its way to cur/, or removed
        names = list(waiting.values())
        if names and folder.known() is None:
            return None  # cur/ has changed meanwhile
    unseen = sum(1 for name in names if not filename.flags(name) & Flag.SEEN)
    deleted = (
        columns.names[row] for row, flags in enumerate(columns.flags) if flags & Flag.DELETED
    )
    counted = Status(
        messages=len(columns) + len(names),
        recent=sum(end - begin for begin, end in folder.unclaimed.slices(columns.uids))
        + len(names),
        uidnext=folder.uidnext + len(names),
        uidvalidity=folder.uidvalidity,
        unseen=len(columns.flags.translate(None, _SEEN)) + unseen,
        deleted=len(columns.flags.translate(None, _DELETED)),
        deleted_storage=_octets(folder, deleted) if sizes else 0,
    )
    if not total:
        return counted, None
    size = sizing.of_columns(folder, columns)
    waiting_size = sizing.of_files(folder, ((b"new", name) for name in names))
    return counted, None if size is None or waiting_size is None else size + waiting_size


def _octets(folder: Folder, names: Iterable[bytes]) -> int:
    """Give the room that messages in ``cur/`` take, as far as they are there."""
    top = os.path.join(os.fsencode(folder.path), b"cur")
    return sum(counting.octets_of(os.path.join(top, name)) or 0 for name in names)


def _listed(folder: Folder, sizes: bool, total: bool) -> tuple[Status, int | None]:
    database = uiddb.read(folder.path)
    if database is None:
        database = folder.begin()
    new = {filename.base(name): name for name in scan.listing(folder.path, "new")}
    known = set(database.bases)
    cur = scan.present(folder.path, known - new.keys())
    unknown = (new.keys() | cur.keys()) - known
    names = {base: (b"new", name) for base, name in new.items()}
    names |= {base: (b"cur", name) for base, name in cur.items()}
    flags = [filename.flags(name) for _, name in names.values()]
    deleted = [name for name in cur.values() if filename.flags(name) & Flag.DELETED]
    counted = Status(
        messages=len(flags),
        recent=len((new.keys() - cur.keys()) | unknown),
        uidnext=database.uidnext + len(unknown),
        uidvalidity=database.uidvalidity,
        unseen=sum(1 for value in flags if not value & Flag.SEEN),
        deleted=len(deleted),
        deleted_storage=_octets(folder, deleted) if sizes else 0,
    )
    if not total or folder.items.exists():  # what is kept goes by UIDs: the folder has to be read
        return counted, None
    return counted, sizing.of_files(folder, names.values())


def has_unseen(path: str) -> bool:
    """Tell whether some message has not been seen; False if the folder can't be read."""
    try:
        names = scan.listing(path, "new") + scan.listing(path, "cur")
    except OSError:
        return False
    return any(not filename.flags(name) & Flag.SEEN for name in names)
