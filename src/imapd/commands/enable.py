"""ENABLE. RFC 9051 6.3.1, RFC 5161; UTF8=ACCEPT is RFC 6855, CONDSTORE and QRESYNC RFC 7162."""

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

    wanted = {word.upper() for word in words}
    if b"UTF8=ACCEPT" in wanted:
        session.utf8 = True
    told = b""
    if b"QRESYNC" in wanted:
        told = session.changes.use_vanished()
    elif b"CONDSTORE" in wanted:
        told = session.changes.use_modseqs()
    # Courier: all that is on, whenever it was switched on.
    are_on = {
        b" UTF8=ACCEPT": session.utf8,
        b" CONDSTORE": session.changes.enabled.modseqs,
        b" QRESYNC": session.changes.enabled.vanished,
    }
    yield b"* ENABLED" + b"".join(word for word, is_on in are_on.items() if is_on) + b"\r\n"
    yield told
    return Ok("Options enabled")
