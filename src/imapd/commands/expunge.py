"""EXPUNGE and UID EXPUNGE: remove messages marked as deleted. RFC 9051 6.4.3, RFC 4315 2.1."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir.filename import Flag
from courier.maildir.numberset import NumberSet
from courier.process.request import Work
from imapd import mailbox
from imapd.completion import Completion, No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


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
    if session.selected.read_only:
        return No("Cannot expunge read-only mailbox.")
    yield from session.refresh()
    yield Work(partial(remove_deleted, session, among))
    yield from session.refresh()
    done: Completion = Ok("EXPUNGE completed")
    return done


def remove_deleted(session: Session, among: NumberSet | None) -> None:
    """Remove the messages that bear ``\\Deleted`` on disk, of all or ``among`` these UIDs."""
    columns = session.selected.folder.columns
    uids = [
        uid
        for uid, flags in zip(columns.uids, columns.flags, strict=True)
        if flags & Flag.DELETED and (among is None or uid in among)
    ]
    removed = session.selected.folder.remove(uids, only_deleted=True)
    if session.settings.log_deletions:
        for name in removed:
            log.expunged(session.client.user, session.client.peer, os.fsdecode(name))
