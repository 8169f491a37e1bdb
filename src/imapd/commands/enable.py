"""ENABLE. RFC 9051 6.3.1 and (IMAP4rev2) appendix A, RFC 5161; UTF8=ACCEPT is RFC 6855, CONDSTORE and
QRESYNC are RFC 7162, UIDONLY is RFC 9586."""

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
    if b"IMAP4REV2" in wanted and session.has_rev2:
        session.use_rev2()
    if b"UTF8=ACCEPT" in wanted:
        session.use_utf8()
    if b"UIDONLY" in wanted and session.settings.extensions:
        session.changes.use_uid_only()
    told = b""
    if b"QRESYNC" in wanted:
        told = session.changes.use_vanished()
    elif b"CONDSTORE" in wanted:
        told = session.changes.use_modseqs()
    # RFC 9051 6.3.1: not what earlier commands enabled. Courier tells all that is on.
    # RFC 5161 3.2: of what the client has listed; that QRESYNC brings CONDSTORE with it, it knows.
    of_these = [word for word in _enabled(session) if word.upper() in wanted]
    yield b" ".join([b"* ENABLED", *of_these]) + b"\r\n"
    yield told
    return Ok("Options enabled")


def _enabled(session: Session) -> list[bytes]:
    are_on = {
        b"IMAP4rev2": session.rev2,
        b"UTF8=ACCEPT": session.accepts_utf8,
        b"CONDSTORE": session.changes.enabled.modseqs,
        b"QRESYNC": session.changes.enabled.vanished,
        b"UIDONLY": session.changes.enabled.uid_only,
    }
    return [word for word, is_on in are_on.items() if is_on]
