"""Removing and renaming folders: what has to be done with the directory, the quota and what is noted elsewhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from courier.process.request import Steps, Work
from imapd import annotation
from imapd.mailboxes import Mailbox

if TYPE_CHECKING:
    from imapd.account_session import AccountSession


def delete(session: AccountSession, found: Mailbox) -> Steps:
    """Remove a folder with its messages. Raises as `Tree.delete`."""
    assert found.tree is not None
    owner = session.mailboxes.lists(found) or found.tree
    yield Work(partial(owner.delete, found.folder))
    yield Work(session.quota_of(found.tree).recount)
    yield Work(partial(annotation.forget, session, found))


def rename(session: AccountSession, old: Mailbox, new: Mailbox) -> Steps:
    """Rename a folder, and all below it, within its account. Raises as `Tree.rename`."""
    assert old.tree is not None
    owner = session.mailboxes.lists(old) or old.tree
    yield Work(partial(owner.rename, old.folder, new.folder))
    yield Work(session.quota_of(old.tree).recount)
    yield Work(partial(annotation.carry, session, old, new))
