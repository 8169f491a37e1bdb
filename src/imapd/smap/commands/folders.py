"""CREATE, MKDIR, DELETE, RMDIR, RENAME: folders as a whole."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from courier.maildir.acl_files import is_within
from courier.process.request import Work
from imapd import hierarchy, names
from imapd.mailboxes import Mailbox
from imapd.smap import paths
from imapd.smap.paths import Path
from imapd.smap.refusal import AccessDenied, Refused, failed, invalid
from imapd.smap.words import Words

if TYPE_CHECKING:
    from imapd.smap.session import Session


def create(session: Session, words: Words) -> Generator[Any, Any, str]:
    found = _new(session, words.list(), "c")
    try:
        if found.tree is None or not names.is_creatable(found.name):
            raise invalid()
        owner = session.mailboxes.lists(found) or found.tree
        yield Work(partial(owner.create, found.folder))
    except OSError as error:
        raise failed("Cannot create folder", error) from error
    return "Folder created"


def mkdir(session: Session, words: Words) -> str:
    """Check what CREATE does: a directory is there as soon as something is below it."""
    _new(session, words.list(), "c")
    return "Folder created"


def rmdir(session: Session, words: Words) -> str:
    """Check a right: a directory is gone with the last folder below it."""
    _new(session, words.list(), "x")
    return "Folder deleted"


def _new(session: Session, path: Path, right: str) -> Mailbox:
    """Give what a path stands for, if this right is held on the level above.

    Raises: Refused.
    """
    try:
        if len(path) < 2:
            raise invalid()
        paths.require(paths.find(session, path[:-1]), right)
        return paths.find(session, path)
    except OSError as error:
        raise failed("Cannot create folder", error) from error


def delete(session: Session, words: Words) -> Generator[Any, Any, str]:
    try:
        found = paths.find(session, words.list())
    except OSError as error:
        raise failed("Unable to delete folder", error) from error
    if found.tree is not None and not found.folder:
        raise Refused("INBOX may not be deleted")
    paths.require(found, "x")
    if session.is_selected(found):
        raise Refused("Cannot DELETE currently open folder.")
    if found.exists:  # Courier: else a success
        try:
            yield from hierarchy.delete(session, found)
        except OSError as error:
            raise failed("Cannot delete folder", error) from error
    return "Folder deleted"


def rename(session: Session, words: Words) -> Generator[Any, Any, str]:
    old_path, new_path = words.list(), words.list()
    if not new_path:
        raise Refused("Invalid destination folder name")
    old = _held(session, old_path, "x")
    _held(session, new_path[:-1], "c")
    try:
        new = paths.find(session, new_path)
    except OSError as error:
        raise Refused("Invalid new mailbox name") from error
    refusal = _refusal(session, old, new)
    if refusal is not None:
        raise Refused(refusal)
    try:
        yield from hierarchy.rename(session, old, new)
    except FileNotFoundError:
        pass  # Courier: a success, though nothing happens
    except OSError as error:
        raise failed("RENAME failed", error) from error
    return "Folder renamed."


def _held(session: Session, path: Path, right: str) -> Mailbox:
    """Give what a path stands for. Raises AccessDenied also if that is nothing."""
    try:
        found = paths.find(session, path)
    except OSError as error:
        raise AccessDenied(right) from error
    return paths.require(found, right)


def _refusal(session: Session, old: Mailbox, new: Mailbox) -> str | None:
    """Say why a folder can't get this name, if it can't."""
    if old.tree is None:
        return "Invalid mailbox name"
    if not names.is_creatable(new.name):
        return "Invalid new mailbox name"
    selected = session.mailbox
    if selected and selected.tree is old.tree and is_within(selected.folder, old.folder):
        return "Can't RENAME the currently-open folder"
    if old.tree is not new.tree:
        return "Cannot move a folder to a different account."
    if not old.folder or not new.folder:
        return "INBOX rename not implemented."
    if session.tree.trash in (old.folder, new.folder):
        return "Reserved folder name - cannot rename."
    return None
