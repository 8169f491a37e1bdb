"""What is done in an account's maildir as a session begins, and again as it ends.

At log-in, in Courier's order: `loginexec`, expiry of the trash, a look at the clock. At LOGOUT the
trash again. All of it runs as the account's user, and blocks: a session has it done in a thread,
if there is something to do, which is seldom and quickly seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import clock, expiry, loginexec, tree
from courier.process.request import Steps, Work
from imapd.completion import Farewell

if TYPE_CHECKING:
    from imapd.account_session import AccountSession


def is_due(session: AccountSession) -> bool:
    """Tell whether `begin` has something to do."""
    path = session.tree.path
    return clock.is_due(path) or expires(session) or loginexec.is_due(path)


def begin(session: AccountSession) -> None:
    """Do what is due at log-in.

    Raises:
        Farewell: the clock is wrong.
    """
    run_loginexec(session)
    expire(session)
    if clock.is_skewed(session.tree.path):
        raise Farewell("Clock skew detected. Check the clock on the file server", is_orderly=True)


def end(session: AccountSession) -> Steps:
    """Do what is due at LOGOUT; what fails of it is no reason to keep anybody here."""
    try:
        if expires(session):
            yield Work(partial(expire, session))
    except OSError as error:
        log.error("cannot empty the trash", error.filename or session.tree.path, error)


def expires(session: AccountSession) -> bool:
    """Tell whether `expire` has something to do."""
    return any(expiry.is_due(directory, days) for _, directory, days in _purged(session))


def expire(session: AccountSession) -> None:
    """Remove messages older than IMAP_EMPTYTRASH says from the account's own folders."""
    for name, directory, days in _purged(session):
        expiry.expire(directory, days, session.quota, name)


def _purged(session: AccountSession) -> Iterator[tuple[str, str, int]]:
    """Give the folders that messages expire in: name, directory, days."""
    own = session.tree
    for purge in session.settings.empty_trash:
        name = own.trash if purge.folder is None else purge.folder
        if tree.is_name(name):
            yield name, own.directory(name), purge.days


def run_loginexec(session: AccountSession) -> None:
    """Run the maildir's `loginexec`; see there."""
    client, path = session.client, session.tree.path
    if loginexec.is_due(path):
        variables = session.settings.environment
        loginexec.run(
            path,
            loginexec.environment(variables, path, client.user, client.options, client.peer),
        )
