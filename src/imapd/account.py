"""Entering an account: Courier's checks of its home and maildir, what its options say."""

from __future__ import annotations

import os
import stat
import time

from courier import log, paths
from courier.auth import options as account_options
from courier.log import Peer
from courier.maildir import tree
from courier.maildir.acl import Identity
from courier.maildir.folder import Options
from courier.maildir.roster import Rosters
from courier.maildir.tree import Tree
from imapd.completion import Farewell
from imapd.mailboxes import Mailboxes
from imapd.settings import Settings


def reach_home(user: str, home: str) -> None:
    """See that a home directory can be entered, which Courier's log-in program does as its user.

    Raises:
        Farewell: it can't, now.
    """
    try:
        os.stat(os.path.join(home, os.curdir) if home else home)
    except OSError as error:
        log.home_unreachable(user, home, error)
        log.authentication_error(error.errno or 0)
        raise Farewell("Temporary problem, please try again later") from error


def enter(settings: Settings, user: str, peer: Peer, home: str, maildir: str) -> Tree:
    """Check an account's home directory and maildir, as its user.

    Args:
        user, peer: for the log.
        maildir: relative to ``home``, or absolute.

    Raises:
        Farewell: the account can't be served now; the text says why.
    """
    try:
        is_locked = bool(os.stat(home).st_mode & stat.S_ISVTX)
    except OSError:
        is_locked = True
    if is_locked:
        log.locked(user, peer)
        raise Farewell(
            "Your account is temporarily unavailable (+t bit set on home directory).",
            is_orderly=True,
        )
    path = os.path.abspath(os.path.join(home, maildir))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        log.maildir_unreachable(user, maildir, error)
        # Courier: the system's text twice.
        raise Farewell(f"[ALERT] Fatal error: {error.strerror}: {error.strerror}") from error
    owned = (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
    if settings.mailbox_sanity_check and not owned:
        log.maildir_not_owned(user)
        raise Farewell(
            "[ALERT] Fatal error: Account's mailbox directory is not owned by the correct "
            "uid or gid: "
        )
    if _is_uncleaned(found):
        try:
            tree.remove_leftovers(path)
        except OSError as error:  # no reason not to serve what can be served
            log.error("cannot remove leftovers", path, error)
    return Tree(path, trash=settings.trash_folder_name, use_locks=settings.use_locks)


#: When a maildir's leftovers were last looked for by this process, by its directory's identity.
_cleaned: dict[tuple[int, int], float] = {}
_CLEAN_EVERY_S = 3600.0
_REMEMBERED = 4096


def _is_uncleaned(found: os.stat_result) -> bool:
    """Tell whether it is time to look for a maildir's leftovers; the caller does."""
    now, key = time.monotonic(), (found.st_dev, found.st_ino)
    if now - _cleaned.get(key, float("-inf")) < _CLEAN_EVERY_S:
        return False
    if len(_cleaned) >= _REMEMBERED:
        _cleaned.clear()
    _cleaned[key] = now
    return True


def folder_options(settings: Settings) -> Options:
    """Say how folders are worked on."""
    return Options(
        use_locks=settings.use_locks,
        keywords=bool(settings.keywords),
        fsync=settings.fsync,
        index_dir=None if settings.index_dir is None else str(settings.index_dir),
        follow_links=settings.skip_symlink_checks,
        fulltext=settings.fulltext,
    )


def mailboxes(
    settings: Settings, own: Tree, user: str, options: str | None, rosters: Rosters
) -> Mailboxes:
    """Give the name spaces of an account: ``group``, ``sharedgroup`` and ``disableshared``.

    Args:
        user: the name that authentication returned.
        rosters: what this process knows of maildirs.
    """
    index = settings.shared_index_file
    group = account_options.get(options, "sharedgroup") or ""
    if index and group and "/" not in group:
        index += group  # Courier: as it is
    groups = frozenset(account_options.get_all(options, "group"))
    return Mailboxes(
        settings,
        own,
        Identity(user, groups),
        index=index,
        sharable=str(paths.SYSCONFDIR / "maildirshared"),
        lists=not account_options.is_on(options, "disableshared"),
        rosters=rosters,
    )
