"""REPLACE and UID REPLACE: a new message in the place of an old one. RFC 8508."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.folder import Folder, MessageGone
from courier.maildir.quota import NOTHING
from courier.process.request import Work
from imapd import incoming, mailbox, removal
from imapd.completion import CommandFailed, No, Ok
from imapd.request import Handling, Step
from imapd.wire.parser import ParseError, Parser, SequenceSet

if TYPE_CHECKING:
    from imapd.session import Session

_MAY_NOT_REMOVE = 'Access denied for REPLACE on current mailbox (ACL "{}" required)'
_GONE = No("There is no such message to be replaced.", "NONEXISTENT")
_STAYS = No("Cannot remove the message that was to be replaced.")


def replace(session: Session, arguments: Parser) -> Handling:
    return _replace(session, arguments, by_uid=False)


def uid_replace(session: Session, arguments: Parser) -> Handling:
    return _replace(session, arguments, by_uid=True)


def streams(arguments: Parser) -> bool:
    """Tell whether a literal announced at the end is the message; see `incoming.streams`."""
    try:
        arguments.sp()
        arguments.sequence_set()
    except ParseError:
        return True
    return incoming.streams(arguments)


def _replace(session: Session, arguments: Parser, *, by_uid: bool) -> Handling:
    arguments.sp()
    which = _seq_number(arguments)
    name = mailbox.argument(session, arguments)
    arguments.sp()
    options = incoming.options(session, arguments)

    view = session.selected
    uids = [view.uids[seq - 1] for seq, _ in mailbox.messages(view, which, by_uid=by_uid).ranges()]
    target = mailbox.destination(session, name, "REPLACE", "Must create mailbox before append")
    if view.read_only:
        return No("Current box is selected READ-ONLY.", "READ-ONLY")
    for right in "te":  # RFC 8508 4.1: as STORE of \Deleted and EXPUNGE would need
        if right not in session.rights:
            return No(_MAY_NOT_REMOVE.format(right), "NOPERM")
    if not uids or view.is_gone(uids[0]):
        return _GONE
    folder = incoming.opened(session, target)
    with ExitStack() as files:  # whatever does not land is removed
        message, arguments = yield from incoming.received(
            session, options, arguments, target, folder, files
        )
        arguments.end()
        yield from session.changes.refresh()
        if view.is_gone(uids[0]):  # by another session, while this one's client was sending
            return _GONE
        source = session.charged(view.folder)
        freed = NOTHING
        if source.shares_quota(session.charged(folder)):  # RFC 8508 3.4: only the difference counts
            freed = source.weigh(source.counted(uids))
        (uid,) = yield from incoming.land(session, target, folder, [message], freed=freed)
    yield from _remove(session, uids[0], folder, uid)
    if message.has_undeclared_unicode:
        yield incoming.UNICODE_ALERT
    # RFC 8508 4.3: before the EXPUNGE.
    yield f"* OK [APPENDUID {folder.uidvalidity} {uid}] Replacement message ready.\r\n".encode()
    session.changes.look_again()
    return Ok("REPLACE Ok.")


def _seq_number(arguments: Parser) -> SequenceSet:
    """``seq-number``, or a UID: one, or ``*``."""
    which = arguments.sequence_set()
    if which.is_saved or len(which.ranges) != 1 or which.ranges[0][0] != which.ranges[0][1]:
        raise arguments.fail("seq-number")
    return which


def _remove(session: Session, old: int, folder: Folder, new: int) -> Generator[Step, Any, None]:
    """Remove the old message as EXPUNGE would.

    The new one is on the disk: a crash here leaves both, never none. It is taken back if the old one
    is still there: another user's, perhaps, in a folder that permissions share.

    Raises:
        CommandFailed: nothing has changed; or there are both, if the disk does not let us know.
    """
    try:
        yield Work(partial(removal.remove, session, [old], only_deleted=False))
    except OSError as error:
        log.error("cannot remove message", session.selected.folder.path, error)
    with suppress(OSError):
        if (yield Work(partial(_is_gone, session.selected.folder, old))):
            return
        taken_back = session.charged(folder)
        yield Work(partial(taken_back.remove, [new], only_deleted=False))
    raise CommandFailed(_STAYS)


def _is_gone(folder: Folder, uid: int) -> bool:
    """Look whether a message is there no more. Raises OSError: that can't be told."""
    try:
        folder.stat(uid)
    except MessageGone:
        return True
    return False
