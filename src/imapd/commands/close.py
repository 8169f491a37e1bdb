"""CLOSE and UNSELECT: leave the mailbox. RFC 9051 6.4.1 and 6.4.2, RFC 3691."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import removal
from imapd.completion import CommandFailed, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def close(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    try:
        if not session.selected.read_only and "e" in session.rights:
            yield from session.changes.refresh()
            if "e" in session.rights:
                yield Work(partial(removal.remove_deleted, session))
    except CommandFailed:
        pass  # the mailbox may not be read any more: it is left as it is
    yield from session.leave()
    return Ok("mailbox closed.")


def unselect(session: Session, arguments: Parser) -> Handling:
    arguments.end()
    yield from session.leave()
    return Ok("mailbox closed.")
