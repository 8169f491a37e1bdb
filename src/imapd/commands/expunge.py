"""EXPUNGE and UID EXPUNGE: remove messages marked as deleted. RFC 9051 6.4.3, RFC 4315 2.1, RFC 9738 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from courier.maildir.numberset import NumberSet
from courier.process.request import Work
from imapd import mailbox, removal
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
    if "e" not in session.rights:
        return No('Access denied for EXPUNGE on current mailbox (ACL "e" required)', "NOPERM")
    if session.selected.read_only:
        return No("Cannot expunge read-only mailbox.", "READ-ONLY")
    yield from session.changes.refresh()
    uids: Sequence[int] = yield Work(partial(removal.deleted, session.selected.folder, among))
    if among is not None:  # EXPUNGE has no limit
        uids = session.message_limit.newest_uids(uids)
    yield Work(partial(removal.remove, session, uids, only_deleted=True))
    yield from session.changes.refresh()
    done: Completion = Ok("EXPUNGE completed")
    return done
