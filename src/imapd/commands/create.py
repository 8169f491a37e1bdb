"""CREATE: make a mailbox. RFC 9051 6.3.4, RFC 3501 6.3.3; its special use: RFC 6154 3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import mailbox_id
from courier.maildir.annotations import NAME, write
from courier.process.request import Work
from imapd import annotation, mailbox, names, special_uses
from imapd.commands.list import renamed
from imapd.completion import CommandFailed, No, Ok, code_of
from imapd.mailboxes import Mailbox, Space
from imapd.request import Handling
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def create(session: Session, arguments: Parser) -> Handling:
    # RFC 9051 6.3.4: "name." makes this mailbox. Courier takes it for a level, and makes nothing.
    given = mailbox.supplied_new(session, arguments).removesuffix(".")
    wanted_uses = _uses(arguments)
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
    uses = _assignable(session, found, wanted_uses) if wanted_uses else ()
    lists = session.mailboxes.lists(found)
    try:
        yield Work(partial((lists or found.tree).create, found.folder, files=_files(uses)))
    except FileExistsError:
        return No("Cannot create this folder.", "ALREADYEXISTS")
    except OSError as error:
        log.error("cannot create folder", found.directory, error)
        return No("Cannot create this folder.", code_of(error))
    if uses:
        yield Work(partial(_take_from_others, session, found.folder, uses))
    session.notifier.made(name)
    yield renamed(session, given, name)
    code = (yield Work(partial(_identified, session, found))) if session.settings.extensions else ""
    return Ok(f"{mailbox.quoted(session, name)} created.", code)


def _identified(session: Session, found: Mailbox) -> str:
    """Give the response code with the new mailbox's identifier (RFC 8474 4.1)."""
    folder = mailbox.opened(session, found)
    folder.synchronise(take_new=False)
    return f"MAILBOXID ({mailbox_id.of(folder)})"


def _uses(arguments: Parser) -> list[str]:
    """Read ``[SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`` (RFC 6154 6, RFC 4466 2.2)."""
    if arguments.at_end():
        return []
    arguments.sp()
    uses: list[str] = []

    def parameter() -> None:
        if arguments.word() != "USE":
            raise arguments.fail("create-param")
        arguments.sp()
        uses.extend(arguments.parenthesised(arguments.flag, empty=True))

    arguments.parenthesised(parameter)
    if not all(use.startswith("\\") for use in uses):
        raise arguments.fail("use-attr")
    return uses


def _assignable(session: Session, found: Mailbox, wanted: list[str]) -> special_uses.Uses:
    """Give what is to be stored of the uses wanted.

    Raises:
        CommandFailed: RFC 6154 3: then the mailbox is not to be made.
    """
    try:
        if found.space is not Space.PERSONAL:
            raise special_uses.Unassignable(found.name)
        return special_uses.assignable(session.tree.trash, found.folder, wanted)
    except special_uses.Unassignable:
        raise CommandFailed(annotation.unassignable()) from None


def _files(uses: special_uses.Uses) -> dict[str, bytes]:
    """Give the files that the new folder appears with."""
    if not uses:
        return {}
    return {NAME: write({special_uses.ENTRY: " ".join(uses).encode()})}


def _take_from_others(session: Session, folder: str, uses: special_uses.Uses) -> None:
    """Make the new folder the only one of its uses. What can't be is logged: it is made."""
    try:
        special_uses.take_from_others(session.settings, session.tree, folder, uses)
    except OSError as error:
        log.error("cannot change annotations", error.filename or session.tree.path, error)
