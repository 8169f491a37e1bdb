"""CANCELUPDATE. RFC 5267 4.3.5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imapd.completion import Completion, No, Ok
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def cancelupdate(session: Session, arguments: Parser) -> Completion:
    arguments.sp()
    tags = [arguments.quoted()]
    while not arguments.at_end():
        arguments.sp()
        tags.append(arguments.quoted())
    arguments.end()

    contexts = session.changes.contexts
    known = [tag for tag in dict.fromkeys(tags) if tag in contexts]
    for tag in known:
        contexts.cancel(tag)
    if not contexts:
        session.selected.note_told(wanted=False)
    if len(known) < len(set(tags)):
        return No("No updates are sent for one of these tags.")
    return Ok("No further updates.")
