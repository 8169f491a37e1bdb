"""LOGOUT. RFC 9051 6.1.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd import upkeep
from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def logout(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    yield from upkeep.end(session)
    session.log_out()
    yield b"* BYE Courier-IMAP server shutting down\r\n"
    return Ok("LOGOUT completed")
