"""RENAME: give a mailbox, and all below it, another name. RFC 9051 6.3.6, RFC 3501 6.3.5."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier import log
from courier.maildir.acl_files import is_within
from courier.maildir.quota import OverQuota
from courier.maildir.view import View
from courier.process.request import Work
from imapd import annotation, hierarchy, mailbox, names, transfer
from imapd.commands.list import renamed
from imapd.completion import CommandFailed, No, Ok, code_of
from imapd.mailboxes import Mailbox
from imapd.request import Handling, Step
from imapd.wire.parser import Parser

if TYPE_CHECKING:
    from imapd.session import Session


def rename(session: Session, arguments: Parser) -> Handling:
    given = mailbox.supplied(session, arguments).removesuffix(".")
    given_new = mailbox.supplied_new(session, arguments).removesuffix(".")
    arguments.end()
    old_name, new_name = mailbox.settled(session, given), mailbox.settled(session, given_new)
    is_as_given = (given, given_new) == (old_name, new_name)

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
    if not new.folder or (not old.folder and old.name != "INBOX"):
        return No("INBOX rename not implemented.", "CANNOT")
    if session.tree.trash in (old.folder, new.folder):
        return No("Reserved folder name - cannot rename.", "CANNOT")
    if not old.folder:
        yield from _move_all(session, old, new)
        session.notifier.made(new.name)
        yield b"" if is_as_given else renamed(session, given, new_name)
        return Ok("Folder renamed.")
    selected = session.mailbox
    if selected and selected.tree is old.tree and is_within(selected.folder, old.folder):
        return No("Can't RENAME the currently-open folder", "INUSE")
    if not is_there:
        raise names.NotFound  # Courier: OK, though nothing happens
    try:
        yield from hierarchy.rename(session, old, new)
    except OSError as error:
        return _failed("cannot rename folder", old.directory, error)
    session.notifier.renamed(old.name, new.name)
    yield b"" if is_as_given else renamed(session, given, new_name)  # RFC 9051 6.3.6
    return Ok("Folder renamed.")


def _failed(what: str, path: str, error: OSError) -> No:
    """Tell a client why it could not be done, and the log, too, unless the name alone is why."""
    if error.errno not in (errno.EEXIST, errno.EINVAL):
        log.error(what, path, error)
    return No(f"RENAME failed: {error.strerror}", code_of(error))


def _move_all(session: Session, inbox: Mailbox, new: Mailbox) -> Generator[Step, Any, None]:
    """Move all messages of INBOX to a new mailbox; those below it stay (RFC 9051 6.3.6).

    The new one has INBOX's annotations, and INBOX keeps them (RFC 5464 4.1).

    A crash leaves the new mailbox without them, or the messages in both; none is ever in neither.
    What comes meanwhile stays in INBOX.

    Raises:
        CommandFailed: there is no new mailbox, and nothing has changed.
        OSError: messages are in both.
    """
    assert new.tree is not None
    view = View(mailbox.opened(session, inbox), read_only=False)
    owner = session.mailboxes.lists(new) or new.tree
    try:
        files = yield Work(partial(annotation.copied, inbox))
        yield Work(partial(owner.create, new.folder, files=files))
    except OSError as error:
        raise CommandFailed(_failed("cannot create folder", new.directory, error)) from error
    try:
        yield Work(view.refresh)
        view.update(expunge=True)
        target = mailbox.opened(session, new)
        moved = yield from transfer.copy(
            session, view.uids, new, target, move=True, sends=False, view=view
        )
    except (OSError, OverQuota) as error:
        with contextlib.suppress(OSError):
            yield Work(partial(owner.delete, new.folder))
        if isinstance(error, OverQuota):
            raise CommandFailed(session.over_quota()) from error
        raise CommandFailed(_failed("cannot move messages", new.directory, error)) from error
    source = session.charged(view.folder)
    yield Work(partial(source.remove, list(moved), only_deleted=False))
    if session.is_selected(inbox):
        session.changes.look_again()
