"""COPY and MOVE, and their UID forms. RFC 9051 6.4.7 and 6.4.8, RFC 4315 3, RFC 6851."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier import log
from courier.maildir.folder import MessageGone
from courier.maildir.quota import OverQuota
from imapd import mailbox, outbox, transfer
from imapd.completion import No, Ok
from imapd.outbox import NotSent
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

_MAY_NOT_REMOVE = 'Access denied for {} on current mailbox (ACL "{}" required)'
_FAILED = "COPY failed - no write permission or out of disk space."


def copy(session: Session, arguments: Parser) -> Handling:
    return _copy(session, arguments, by_uid=False, move=False)


def uid_copy(session: Session, arguments: Parser) -> Handling:
    return _copy(session, arguments, by_uid=True, move=False)


def move(session: Session, arguments: Parser) -> Handling:
    return _copy(session, arguments, by_uid=False, move=True)


def uid_move(session: Session, arguments: Parser) -> Handling:
    return _copy(session, arguments, by_uid=True, move=True)


def _copy(session: Session, arguments: Parser, *, by_uid: bool, move: bool) -> Handling:
    arguments.sp()
    which = arguments.sequence_set()
    name = mailbox.argument(session, arguments)
    arguments.end()

    view = session.selected
    seqs = mailbox.messages(view, which, by_uid=by_uid)
    command = "MOVE" if move else "COPY"
    to = mailbox.destination(session, name, command, "Mailbox does not exist.")
    if move and view.read_only:
        return No("Current box is selected READ-ONLY.", "READ-ONLY")
    if move:  # RFC 6851 4.5: as COPY, STORE of \\Deleted and EXPUNGE would need
        for right in "te":
            if right not in session.rights:
                return No(_MAY_NOT_REMOVE.format(command, right), "NOPERM")
    if move:
        seqs = session.message_limit.newest(view, seqs)
    else:
        session.message_limit.check_copied(view, seqs)
    wanted = [view.uids[seq - 1] for seq in mailbox.sequence_numbers(seqs)]
    if (
        len(wanted) > 1
        and not session.settings.outbox_multiple_send
        and outbox.is_outbox(session, to)
    ):
        return No("Only one message may be sent at a time.", "ALERT")
    target = mailbox.opened(session, to)

    yield from session.changes.refresh()  # the copies bear the flags that the messages have now
    whole = not by_uid and not which.is_saved  # RFC 5182 2.1: what is gone is not in "$"
    try:
        copied = yield from transfer.copy(session, wanted, to, target, move=move, whole=whole)
    except MessageGone:
        # RFC 9051 6.4.9: a UID that nobody has is passed over; a number is a message's that was wanted.
        return No("Some of the messages are gone.", "EXPUNGEISSUED")
    except OverQuota:
        return session.over_quota()
    except NotSent:
        return No(_FAILED, "ALERT")
    except OSError as error:
        log.error("cannot copy messages", target.path, error)
        return session.not_stored(_FAILED, error)
    session.changes.added(to, list(copied.values()))
    code = ""
    if copied and to.may("r"):  # RFC 9051 6.4.7: else nothing of the mailbox is told
        pair = b"%b %b" % (writer.uid_set(list(copied)), writer.uid_set(list(copied.values())))
        code = f"COPYUID {target.uidvalidity} {pair.decode()}"
    if move:
        if code:  # RFC 6851 4.3: before the EXPUNGEs
            yield f"* OK [{code}] Ok\r\n".encode()
        yield from transfer.remove(session, list(copied))
        session.changes.look_again()
        return Ok("MOVE completed.")
    if session.is_selected(to):
        session.changes.look_again()
    return Ok("COPY completed.", code)
