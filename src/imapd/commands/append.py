"""APPEND: add messages. RFC 9051 6.3.12, RFC 3501 6.3.11, RFC 3502 (MULTIAPPEND), RFC 4315 3
(APPENDUID)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from imapd import incoming, mailbox, outbox
from imapd.commands.list import renamed
from imapd.completion import No, Ok
from imapd.incoming import Incoming
from imapd.request import Handling
from imapd.wire import writer
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session

READ_ONLY = No("Current box is selected READ-ONLY.", "READ-ONLY")
_ONE_AT_A_TIME = No("Only one message may be sent at a time.", "ALERT")
#: Messages in one command: each is a file in ``tmp/`` until all of them land.
_MAX_MESSAGES = 10_000
#: Octets that may come before it is looked whether the account has room for them: tmp/ is not counted.
_UNCHECKED = 16 << 20
_TOO_MANY = No("Too many messages in one command.", "LIMIT")


def append(session: Session, arguments: Parser) -> Handling:
    given = mailbox.supplied(session, arguments)
    name = mailbox.settled(session, given)
    arguments.sp()
    options = incoming.options(session, arguments)

    target = mailbox.destination(session, name, "APPEND", "Must create mailbox before append")
    if session.is_selected(target):
        session.changes.recheck_rights()
        if session.selected.read_only:
            return READ_ONLY
    folder = incoming.opened(session, target)
    messages: list[Incoming] = []
    unchecked = 0
    with ExitStack() as files:  # whatever does not land is removed
        while True:
            message, arguments = yield from incoming.received(
                session, options, arguments, target, folder, files
            )
            messages.append(message)
            if arguments.at_end():
                break
            arguments.sp()
            options = incoming.options(session, arguments)
            if outbox.is_outbox(session, target) and not session.settings.outbox_multiple_send:
                return _ONE_AT_A_TIME
            session.message_limit.check_appended(len(messages) + 1)
            if len(messages) == _MAX_MESSAGES:
                return _TOO_MANY
            unchecked += message.file.size
            if unchecked > _UNCHECKED:
                yield from incoming.check_room(session, folder, messages)
                unchecked = 0
        uids = yield from incoming.land(session, target, folder, messages)
    if not session.rev2 and any(message.has_undeclared_unicode for message in messages):
        yield incoming.UNICODE_ALERT
    yield renamed(session, given, name)
    if not target.may("r"):  # RFC 9051 6.3.12: nothing of the mailbox is told
        return Ok("APPEND Ok.")
    return Ok("APPEND Ok.", f"APPENDUID {folder.uidvalidity} {writer.uid_set(uids).decode()}")
