"""NOOP and CHECK: look for changes now. RFC 9051 6.1.2, RFC 3501 6.4.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def noop(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    if session.view is not None:
        yield from session.changes.refresh()
    return Ok("NOOP completed")


def check(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    yield from session.changes.refresh()
    return Ok("CHECK completed")
