"""NOOP, EXPUNGE, RSET, LOGOUT."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.process.request import Work
from imapd import removal, upkeep
from imapd.mailbox import sequence_numbers
from imapd.smap.refusal import AccessDenied, SyntaxRefused
from imapd.smap.words import InvalidSet, Words, quoted, within

if TYPE_CHECKING:
    from imapd.smap.session import Session


def noop(session: Session, words: Words) -> Generator[Any, Any, str]:
    """Report changes. If there are none, a snapshot is taken that has what came before."""
    told = yield from session.report()
    snapshots = session.snapshots
    if session.view is not None and not told and snapshots is not None and snapshots.is_outdated:
        try:
            name = yield Work(snapshots.save)
            yield b"* SNAPSHOT %b\n" % quoted(name)
        except OSError as error:  # the client goes on without
            log.error("cannot write snapshot", session.view.folder.path, error)
            snapshots.is_outdated = False
    return "Folder updated"


def expunge(session: Session, words: Words) -> Generator[Any, Any, str]:
    """Remove the messages listed, or those marked as deleted if none are."""
    is_list = words.peek()[:1].isdigit()
    for right in "et" if is_list else "e":
        if right not in session.rights:
            raise AccessDenied(right)
    view = session.selected
    if is_list:
        try:
            which = words.message_set()
        except InvalidSet as error:
            raise SyntaxRefused from error
        seqs = sequence_numbers(within(which, len(view.uids)))
        uids = [view.uids[seq - 1] for seq in seqs]
        yield Work(partial(removal.remove, session, uids, only_deleted=False))
    else:
        yield from session.refresh()
        yield Work(partial(removal.remove_deleted, session))
    yield from session.report()
    return "Folder updated"


def rset(session: Session, words: Words) -> str:
    return "Reset"  # whatever ADD was told is forgotten before any other command


def logout(session: Session, words: Words) -> Generator[Any, Any, str]:
    yield from upkeep.end(session)
    session.log_out()
    yield b"* BYE Courier-SMAP server shutting down\n"
    return "LOGOUT completed"
