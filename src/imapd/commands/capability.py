"""CAPABILITY. RFC 9051 6.1.1, RFC 3501 6.1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def capability(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    yield f"* CAPABILITY {session.capabilities()}\r\n".encode()
    return Ok("CAPABILITY completed")
