"""RENAME: give a mailbox, and all below it, another name. RFC 9051 6.3.6, RFC 3501 6.3.5."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Work
from imapd import mailbox, names
from imapd.completion import No, Ok
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def rename(session: Session, arguments: Parser) -> Handling:
    old_name = mailbox.argument(session, arguments).removesuffix(".")
    new_name = mailbox.argument(session, arguments).removesuffix(".")
    arguments.end()

    old, new = names.folder(old_name), names.folder(new_name)
    if old is None or new is None or not names.is_creatable(new_name):
        return No("Invalid mailbox name.")
    if not old or not new:
        return No("INBOX rename not implemented.")
    if session.tree.trash in (old, new):
        return No("Reserved folder name - cannot rename.")
    if session.view is not None and (session.name == old or session.name.startswith(old + ".")):
        return No("Can't RENAME the currently-open folder")
    if not session.tree.exists(old) and not session.tree.below(old):
        raise names.NotFound  # Courier: OK, though nothing happens
    try:
        yield Work(partial(session.tree.rename, old, new))
    except OSError as error:
        return No(f"RENAME failed: {error.strerror}")
    return Ok("Folder renamed.")
