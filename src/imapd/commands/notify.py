"""NOTIFY: say which events of which mailboxes are to be told. RFC 5465."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd import notify_request
from imapd.completion import Ok
from imapd.notify_request import DEFAULT, NONE
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def notify(session: Session, arguments: Parser) -> Handling:
    request = notify_request.read(session, arguments)

    if request is NONE:
        yield from session.notifier.end_in_slices()
    else:
        yield from session.notifier.begin(request)
        if session.view is not None:  # RFC 5465 3.1: as NOOP does, whatever is told from here on
            session.changes.wanted = DEFAULT
            yield from session.changes.refresh()
            yield from session.changes.tell_all()
    session.changes.wanted = request.selected
    return Ok("NOTIFY completed.")
