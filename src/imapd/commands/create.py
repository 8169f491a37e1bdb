"""CREATE: make a mailbox. RFC 9051 6.3.4, RFC 3501 6.3.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier import log
from imapd import mailbox, names
from imapd.completion import Completion, No, Ok
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def create(session: Session, arguments: Parser) -> Completion:
    name = mailbox.argument(session, arguments)
    arguments.end()

    wanted = name.removesuffix(".")
    if not names.is_creatable(wanted):
        return No("Invalid mailbox name.")
    if names.is_shared(wanted):
        told = mailbox.quoted(session, wanted)[1:-1]
        return No(f'Access denied for CREATE on {told} (ACL "c" required)')
    folder = names.folder(wanted)
    if folder is None:
        return No("Invalid mailbox name.")
    if not folder:
        return No("INBOX already exists!")
    # Courier: "name." asks for the hierarchy alone, of which nothing needs to be made.
    if not name.endswith("."):
        try:
            session.tree.create(folder)
        except FileExistsError:
            return No("Cannot create this folder.")
        except OSError as error:
            log.error("cannot create folder", session.tree.directory(folder), error)
            return No("Cannot create this folder.")
    return Ok(f"{mailbox.quoted(session, name)} created.")
