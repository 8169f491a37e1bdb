"""STATUS: numbers of a mailbox that need not be open. RFC 9051 6.3.11, RFC 3501 6.3.10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier import log
from imapd import mailbox, status_items
from imapd.completion import No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def status(session: Session, arguments: Parser) -> Handling:
    name = mailbox.argument(session, arguments)
    arguments.sp()
    wanted = status_items.read(arguments)
    arguments.end()

    found = mailbox.existing(session, name, "STATUS", "r")
    yield status_items.begin(session, wanted)
    try:
        yield (yield from status_items.told(session, found, name, wanted))
    except OSError as error:
        if session.is_selected(found):
            raise  # its session may have to end
        log.error("cannot read folder", found.directory, error)
        return No("STATUS failed", "ALERT")
    return Ok("STATUS Completed.")
