"""What is done in an account's maildir as a session begins, and again as it ends.

At log-in, in Courier's order: `loginexec`, expiry of the trash, a look at the clock. At LOGOUT the
trash again. All of it runs as the account's user, and blocks: a session has it done in a thread,
if there is something to do, which is seldom and quickly seen.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from courier import log
from courier.maildir import clock, expiry, tree
from imapd.completion import Farewell

if TYPE_CHECKING:
    from imapd.session import Session

_LOGINEXEC = "loginexec"
#: Seconds after which a session no longer waits for `loginexec`.
_PATIENCE_S = 600.0


def is_due(session: Session) -> bool:
    """Tell whether `begin` has something to do."""
    path = session.tree.path
    return clock.is_due(path) or expires(session) or os.path.lexists(os.path.join(path, _LOGINEXEC))


def begin(session: Session) -> None:
    """Do what is due at log-in.

    Raises:
        Farewell: the clock is wrong.
    """
    run_loginexec(session)
    expire(session)
    if clock.is_skewed(session.tree.path):
        raise Farewell("Clock skew detected. Check the clock on the file server", is_orderly=True)


def expires(session: Session) -> bool:
    """Tell whether `expire` has something to do."""
    return any(expiry.is_due(directory, days) for _, directory, days in _purged(session))


def expire(session: Session) -> None:
    """Remove messages older than IMAP_EMPTYTRASH says from the account's own folders."""
    for name, directory, days in _purged(session):
        expiry.expire(directory, days, session.quota, name)


def _purged(session: Session) -> Iterator[tuple[str, str, int]]:
    """Give the folders that messages expire in: name, directory, days."""
    own = session.tree
    for purge in session.settings.empty_trash:
        name = own.trash if purge.folder is None else purge.folder
        if tree.is_name(name):
            yield name, own.directory(name), purge.days


def run_loginexec(session: Session) -> None:
    """Run the maildir's file `loginexec`, if its owner may, and remove it once it has succeeded.

    It runs in the maildir, without arguments, with the settings and what is known of the client in
    its environment. Courier: it has the client's connection as standard input and output. Here it
    reads nothing, and what it says goes to the log: before the greeting there is nothing that it
    could say to a client.
    """
    path = os.path.join(session.tree.path, _LOGINEXEC)
    try:
        found = os.stat(path)
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IXUSR:
        return
    try:
        process = subprocess.Popen(
            [_LOGINEXEC],
            executable=f"./{_LOGINEXEC}",
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            cwd=session.tree.path,
            env=_environment(session),
        )
        if process.wait(_PATIENCE_S) == 0:
            os.unlink(path)
    except subprocess.TimeoutExpired:
        log.warn(f"{path}: still running after {_PATIENCE_S:.0f} seconds; the session goes on")
    except OSError as error:
        log.error("cannot run", path, error)


def _environment(session: Session) -> dict[str, str]:
    client = session.client
    return {
        **os.environ,
        **session.settings.environment,
        "AUTHENTICATED": client.user,
        "MAILDIR": session.tree.path,
        "OPTIONS": client.options or "",
        "TCPREMOTEIP": client.peer.ip,
        "TCPREMOTEPORT": str(client.peer.port),
    }
