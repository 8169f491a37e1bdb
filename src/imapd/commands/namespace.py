"""NAMESPACE. RFC 9051 6.3.10, RFC 2342."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def namespace(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    # Courier: the same for everybody, whether there are shared folders or not.
    yield b'* NAMESPACE (("INBOX." ".")) NIL (("#shared." ".")("shared." "."))\r\n'
    return Ok("NAMESPACE completed.")
