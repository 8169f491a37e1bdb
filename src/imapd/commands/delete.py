"""DELETE: remove a mailbox and its messages. RFC 9051 6.3.5, RFC 3501 6.3.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier import log
from courier.process.request import Work
from imapd import hierarchy, mailbox, names
from imapd.commands.list import renamed
from imapd.completion import No, Ok, code_of
from imapd.mailboxes import Mailbox
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def delete(session: Session, arguments: Parser) -> Handling:
    given = mailbox.supplied(session, arguments)
    arguments.end()
    name = mailbox.settled(session, given)

    shared = session.mailboxes.find(name)
    if shared is not None and shared.farm is not None:
        return (yield from _unsubscribe(session, shared))
    found = mailbox.existing(session, name, "DELETE", "x")
    if session.is_selected(found):
        return No("Cannot delete currently-open folder.", "INUSE")
    try:
        yield from hierarchy.delete(session, found)
    except PermissionError:
        return No("Cannot delete this folder.", "CANNOT")
    except OSError as error:
        log.error("cannot delete folder", found.directory, error)
        return No("Cannot delete this folder.", code_of(error))
    session.notifier.made(name)
    yield renamed(session, given, name)
    return Ok("Folder deleted.")


def _unsubscribe(session: Session, found: Mailbox) -> Handling:
    """Courier: of a folder that permissions share only one's own links go."""
    farm = found.farm
    assert farm is not None
    if not found.exists and not farm.exists():
        raise names.NotFound
    if session.is_selected(found):
        return No("Cannot delete currently-open folder.", "INUSE")
    if farm.exists():
        yield Work(farm.remove)
    session.notifier.made(found.name)
    return Ok("UNSUBSCRIBEd a shared folder.")
