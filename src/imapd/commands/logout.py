"""LOGOUT. RFC 9051 6.1.3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import upkeep
from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def logout(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    yield Work(partial(upkeep.expire, session))
    session.log_out()
    yield b"* BYE Courier-IMAP server shutting down\r\n"
    return Ok("LOGOUT completed")
