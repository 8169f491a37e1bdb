"""Removing messages: for good, or by way of the trash folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import acl, filename
from courier.maildir.filename import Flag
from courier.maildir.folder import Folder
from courier.maildir.numberset import NumberSet
from imapd import transfer
from imapd.mailboxes import Space

if TYPE_CHECKING:
    from imapd.account_session import AccountSession

_MARKED = re.compile(b"[" + re.escape(bytes(f for f in range(32) if f & Flag.DELETED)) + b"]")
#: Messages put into the trash folder under one lock.
_SLICE = 100


def remove_deleted(session: AccountSession) -> None:
    """Remove the messages that bear ``\\Deleted`` on disk. Raises: as `remove`."""
    remove(session, deleted(session.selected.folder), only_deleted=True)


def deleted(folder: Folder, among: NumberSet | None = None) -> list[int]:
    """List the UIDs of the messages that bear ``\\Deleted`` on disk, of all or ``among`` these."""
    columns = folder.columns
    marked = (columns.uids[found.start()] for found in _MARKED.finditer(columns.flags))
    return [uid for uid in marked if among is None or uid in among]


def remove(session: AccountSession, uids: Sequence[int], *, only_deleted: bool) -> None:
    """Remove messages of the selected mailbox, all or those that bear ``\\Deleted`` on disk.

    With IMAP_MOVE_EXPUNGE_TO_TRASH they are put into the trash folder first, under a new name and
    without ``\\Deleted`` and ``\\Draft``; a crash leaves a message in both. Courier: not those
    that this session copied somewhere, and not from the trash folder. Unlike Courier's, what can't
    be put there stays.

    Raises:
        OSError: a message could not be put into the trash, and stays, or not be removed.
    """
    folder = session.selected.folder
    columns = folder.columns
    kept: dict[bytes, bytes] = {}
    if session.settings.move_expunge_to_trash and not _is_final(session):
        copied = {uid for uid in uids if (folder.uidvalidity, uid) in session.copied}
        trashed = _put_into_trash(session, [uid for uid in uids if uid not in copied])
        kept = {
            filename.base(columns.names[row]): name
            for uid, name in trashed.items()
            if (row := columns.row(uid)) is not None
        }
        uids = [uid for uid in uids if uid in copied or uid in trashed]
    removed = session.charged(folder).remove(uids, only_deleted=only_deleted)
    if session.settings.log_deletions:
        _log(session, removed, kept)


def _is_final(session: AccountSession) -> bool:
    """Tell whether what is expunged here is gone for good."""
    found = session.mailbox
    if found is None or found.farm is not None:  # Courier: others' messages go to nobody's trash
        return found is not None
    return found.space is Space.PERSONAL and found.folder == session.tree.trash


def _put_into_trash(session: AccountSession, uids: Sequence[int]) -> dict[int, bytes]:
    """Give the trash folder a link, or a copy, of each message; return the file names there."""
    tree = session.tree
    if uids and not tree.exists(tree.trash):
        tree.create(tree.trash)
    trash = session.store.open(tree.directory(tree.trash)) if uids else session.selected.folder
    names: dict[int, bytes] = {}
    for at in range(0, len(uids), _SLICE):
        with ExitStack() as files:
            batch = uids[at : at + _SLICE]
            prepared = transfer.prepare(session.selected, batch, trash, files, acl.ALL)
            kept = ~(Flag.DELETED | Flag.DRAFT)
            landing = [replace(m, flags=m.flags & kept) for m in prepared.values()]
            # Courier: no quota keeps anybody from deleting.
            landed = session.charged(trash).deliver(landing, whatever=True)
            columns = trash.columns
            for uid, new in zip(prepared, landed, strict=True):
                row = columns.row(new)
                names[uid] = b"" if row is None else columns.names[row]
    return names


def _log(session: AccountSession, removed: Sequence[bytes], kept: Mapping[bytes, bytes]) -> None:
    """Log what is gone, by paths in the maildir; before that the name under which it is left."""
    client = session.client
    directory = os.path.relpath(session.selected.folder.path, session.tree.path)
    directory = "./cur/" if directory == "." else f"./{directory}/cur/"
    for name in removed:
        old = directory + os.fsdecode(name)
        new = kept.get(filename.base(name))
        if new:
            new_name = f".{session.tree.trash}/cur/{os.fsdecode(new)}"
            log.expunged(client.user, client.peer, old, new_name)
        log.expunged(client.user, client.peer, old)
