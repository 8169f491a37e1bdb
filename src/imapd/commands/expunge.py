"""EXPUNGE and UID EXPUNGE: remove messages marked as deleted. RFC 9051 6.4.3, RFC 4315 2.1."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import acl
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
    yield from session.refresh()
    yield Work(partial(remove_deleted, session, among))
    yield from session.refresh()
    done: Completion = Ok("EXPUNGE completed")
    return done


def remove_deleted(session: Session, among: NumberSet | None) -> None:
    """Remove the messages that bear ``\\Deleted`` on disk, of all or ``among`` these UIDs.

    With IMAP_MOVE_EXPUNGE_TO_TRASH they are put into the trash folder first; a crash leaves
    a message in both. Courier: not those that this session copied somewhere, and not from
    the trash folder.

    Raises:
        OSError: a message could not be put into the trash, and stays, or not be removed.
    """
    folder = session.selected.folder
    columns = folder.columns
    uids = [
        uid
        for uid, flags in zip(columns.uids, columns.flags, strict=True)
        if flags & Flag.DELETED and (among is None or uid in among)
    ]
    if session.settings.move_expunge_to_trash and not _is_trash(session):
        _put_into_trash(
            session, [uid for uid in uids if (folder.uidvalidity, uid) not in session.copied]
        )
    removed = folder.remove(uids, only_deleted=True)
    if session.settings.log_deletions:
        for name in removed:
            log.expunged(session.client.user, session.client.peer, os.fsdecode(name))


def _is_trash(session: Session) -> bool:
    found = session.mailbox
    return (
        found is not None and found.space is Space.PERSONAL and found.folder == session.tree.trash
    )


def _put_into_trash(session: Session, uids: Sequence[int]) -> None:
    tree = session.tree
    if not tree.exists(tree.trash):
        tree.create(tree.trash)
    trash = session.store.open(tree.directory(tree.trash))
    for at in range(0, len(uids), _SLICE):
        with ExitStack() as files:
            prepared = transfer.prepare(
                session.selected, uids[at : at + _SLICE], trash, files, acl.ALL
            )
            kept = ~(Flag.DELETED | Flag.DRAFT)
            trash.deliver([replace(m, flags=m.flags & kept) for m in prepared.values()])
