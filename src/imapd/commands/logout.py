"""LOGOUT. RFC 9051 6.1.3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.process.request import Work
from imapd import upkeep
from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def logout(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    try:
        if upkeep.expires(session):
            yield Work(partial(upkeep.expire, session))
    except OSError as error:  # no reason to keep anybody here
        log.error("cannot empty the trash", error.filename or session.tree.path, error)
    session.log_out()
    yield b"* BYE Courier-IMAP server shutting down\r\n"
    return Ok("LOGOUT completed")
