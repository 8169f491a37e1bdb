"""Entering an account: Courier's checks of its home and maildir, and of its options."""

from __future__ import annotations

import os
import stat

from courier import log
from courier.auth import options as account_options
from courier.log import Peer
from pop3d import wire


class Refused(Exception):
    """The account can't be served; the text is what its client is told, with the response code."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code

    def line(self, *, with_code: bool) -> bytes:
        return wire.refusal(str(self), self.code, with_code=with_code)


def reach_home(user: str, home: str) -> None:
    """See that a home directory can be entered, which Courier's log-in program does as its user.

    Raises:
        Refused: it can't, now.
    """
    try:
        os.stat(os.path.join(home, os.curdir) if home else home)
    except OSError as error:
        log.home_unreachable(user, home, error)
        log.authentication_error(error.errno or 0)
        raise Refused("Temporary problem, please try again later", wire.SYS_TEMP) from error


def enter(user: str, peer: Peer, home: str, maildir: str) -> str:
    """Check an account's home directory and maildir, as its user; give the maildir's path.

    Args:
        maildir: relative to ``home``, or absolute.

    Raises:
        Refused: the account can't be served now.
    """
    try:
        is_locked = bool(os.stat(home).st_mode & stat.S_ISVTX)
    except OSError:
        is_locked = True
    if is_locked:
        log.locked(user, peer)
        text = "Your account is temporarily unavailable (+t bit set on home directory)."
        raise Refused(text, wire.SYS_TEMP)
    path = os.path.abspath(os.path.join(home, maildir))
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        log.maildir_unreachable(user, maildir, error)
        # Courier: "chdir PATH failed", which tells a stranger where the mail is.
        raise Refused("Your mailbox can't be opened.", wire.SYS_PERM) from error
    return path


def check_options(options: str | None, *, tls: bool) -> None:
    """Raise Refused if an account's options keep it from using POP3."""
    if account_options.is_on(options, "disablepop3"):
        raise Refused("POP3 access disabled for this account.", wire.AUTH)
    if account_options.is_on(options, "disableinsecurepop3") and not tls:
        raise Refused("POP3 access disabled via insecure connection.", wire.AUTH)
