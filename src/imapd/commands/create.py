"""CREATE: make a mailbox. RFC 9051 6.3.4, RFC 3501 6.3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier import log
from imapd import mailbox, names
from imapd.commands.list import renamed
from imapd.completion import No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def create(session: Session, arguments: Parser) -> Handling:
    # RFC 9051 6.3.4: "name." makes this mailbox. Courier takes it for a level, and makes nothing.
    given = mailbox.supplied(session, arguments).removesuffix(".")
    arguments.end()

    name = mailbox.settled(session, given)
    if not names.is_creatable(name):
        raise names.InvalidName
    found = session.mailboxes.find(name)
    if found is None:
        raise names.InvalidName
    if found.tree is None:
        raise mailbox.AccessDenied(session, "CREATE", found, "c")
    if found.name == "INBOX":
        return No("INBOX already exists!", "ALREADYEXISTS")
    parent = session.mailboxes.parent(found)
    if parent is None or not parent.may("c"):
        raise mailbox.AccessDenied(session, "CREATE", parent or found, "c")
    lists = session.mailboxes.lists(found)
    try:
        (lists or found.tree).create(found.folder)
    except FileExistsError:
        return No("Cannot create this folder.", "ALREADYEXISTS")
    except OSError as error:
        log.error("cannot create folder", found.directory, error)
        return No("Cannot create this folder.")
    yield renamed(session, given, name)
    return Ok(f"{mailbox.quoted(session, name)} created.")
