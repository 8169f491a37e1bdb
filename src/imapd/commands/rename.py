"""RENAME: give a mailbox, and all below it, another name. RFC 9051 6.3.6, RFC 3501 6.3.5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from courier.maildir.acl_files import is_within
from imapd import hierarchy, mailbox, names
from imapd.commands.list import renamed
from imapd.completion import No, Ok, code_of
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def rename(session: Session, arguments: Parser) -> Handling:
    given = mailbox.supplied(session, arguments).removesuffix(".")
    given_new = mailbox.supplied(session, arguments).removesuffix(".")
    arguments.end()
    old_name, new_name = mailbox.settled(session, given), mailbox.settled(session, given_new)

    old, new = session.mailboxes.find(old_name), session.mailboxes.find(new_name)
    if old is None or new is None or not names.is_creatable(new_name):
        raise names.InvalidName
    if old.tree is None:
        return No("Invalid mailbox", "CANNOT")
    is_there = old.exists or session.mailboxes.has_below(old)
    if not is_there and not old.may("x"):
        raise names.NotFound  # as of one that he may not know of
    mailbox.require(session, old, "RENAME", "x")
    parent = session.mailboxes.parent(new)
    if new.name != "INBOX" and (parent is None or not parent.may("c")):
        raise mailbox.AccessDenied(session, "RENAME", parent or new, "c")
    if old.tree is not new.tree:
        return No("Cannot move a folder to a different account.", "CANNOT")
    if not old.folder or not new.folder:
        return No("INBOX rename not implemented.", "CANNOT")
    if session.tree.trash in (old.folder, new.folder):
        return No("Reserved folder name - cannot rename.", "CANNOT")
    selected = session.mailbox
    if selected and selected.tree is old.tree and is_within(selected.folder, old.folder):
        return No("Can't RENAME the currently-open folder", "INUSE")
    if not is_there:
        raise names.NotFound  # Courier: OK, though nothing happens
    try:
        yield from hierarchy.rename(session, old, new)
    except OSError as error:
        return No(f"RENAME failed: {error.strerror}", code_of(error))
    if (given, given_new) != (old_name, new_name):  # RFC 9051 6.3.6
        yield renamed(session, given, new_name)
    return Ok("Folder renamed.")
