"""EXPUNGE and UID EXPUNGE: remove messages marked as deleted. RFC 9051 6.4.3, RFC 4315 2.1."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import acl, filename
from courier.maildir.filename import Flag
from courier.maildir.numberset import NumberSet
from courier.process.request import Work
from imapd import mailbox, transfer
from imapd.completion import Completion, No, Ok
from imapd.mailboxes import Space
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MARKED = re.compile(b"[" + re.escape(bytes(f for f in range(32) if f & Flag.DELETED)) + b"]")
#: Messages put into the trash folder under one lock.
_SLICE = 100


def expunge(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    return (yield from _expunge(session, None))


def uid_expunge(session: Session, arguments: Parser) -> Handling:
    arguments.sp()
    which = arguments.sequence_set()
    arguments.end()
    seqs = mailbox.messages(session.selected, which, by_uid=True)
    uids = [session.selected.uids[seq - 1] for seq in mailbox.sequence_numbers(seqs)]
    return (yield from _expunge(session, NumberSet.of(uids)))


def _expunge(session: Session, among: NumberSet | None) -> Handling:
    if "e" not in session.rights:
        return No('Access denied for EXPUNGE on current mailbox (ACL "e" required)', "NOPERM")
    if session.selected.read_only:
        return No("Cannot expunge read-only mailbox.")
    yield from session.changes.refresh()
    yield Work(partial(remove_deleted, session, among))
    yield from session.changes.refresh()
    done: Completion = Ok("EXPUNGE completed")
    return done


def remove_deleted(session: Session, among: NumberSet | None) -> None:
    """Remove the messages that bear ``\\Deleted`` on disk, of all or ``among`` these UIDs.

    With IMAP_MOVE_EXPUNGE_TO_TRASH they are put into the trash folder first, under a new name and
    without ``\\Deleted`` and ``\\Draft``; a crash leaves a message in both. Courier: not those
    that this session copied somewhere, and not from the trash folder. Unlike Courier's, what can't
    be put there stays.

    Raises:
        OSError: a message could not be put into the trash, and stays, or not be removed.
    """
    folder = session.selected.folder
    columns = folder.columns
    marked = (columns.uids[found.start()] for found in _MARKED.finditer(columns.flags))
    uids = [uid for uid in marked if among is None or uid in among]
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
    removed = session.charged(folder).remove(uids, only_deleted=True)
    if session.settings.log_deletions:
        _log(session, removed, kept)


def _is_final(session: Session) -> bool:
    """Tell whether what is expunged here is gone for good."""
    found = session.mailbox
    if found is None or found.farm is not None:  # Courier: others' messages go to nobody's trash
        return found is not None
    return found.space is Space.PERSONAL and found.folder == session.tree.trash


def _put_into_trash(session: Session, uids: Sequence[int]) -> dict[int, bytes]:
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


def _log(session: Session, removed: Sequence[bytes], kept: Mapping[bytes, bytes]) -> None:
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
