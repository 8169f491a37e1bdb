"""ENABLE. RFC 9051 6.3.1, RFC 5161; UTF8=ACCEPT is RFC 6855."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def enable(session: Session, arguments: Parser) -> Handling:
    arguments.sp()
    words = [arguments.atom()]
    while not arguments.at_end():
        arguments.sp()
        words.append(arguments.atom())
    arguments.end()

    if b"UTF8=ACCEPT" in (word.upper() for word in words):
        session.utf8 = True
    # Courier: all that is on, whenever it was switched on.
    yield b"* ENABLED UTF8=ACCEPT\r\n" if session.utf8 else b"* ENABLED\r\n"
    return Ok("Options enabled")
