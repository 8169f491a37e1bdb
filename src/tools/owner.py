"""Work in a maildir as its owner: nobody else's files belong there."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from courier.process import privileges
from courier.process.privileges import Ids

#: Symbolic links on the way to a maildir. Linux's own limit.
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A maildir's absolute path, and as whom to look at it."""

    path: str
    ids: Ids


def named(path: str) -> Place:
    """Give the maildir at a path, to be looked at as its owner.

    Whose it is must not be said by somebody else's symbolic link: root would do as that one what he
    had prepared here, and root's own rights are somebody's, too.

    Raises:
        OSError: there is none, or such a link leads to it.
    """
    cur = os.path.join(path, "cur")
    found = os.lstat(cur)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), cur)
    for link, uid in _links(os.path.abspath(path)):
        if uid not in (0, found.st_uid):
            raise PermissionError(errno.EPERM, "Somebody else's symbolic link", link)
    return Place(os.path.abspath(path), Ids(found.st_uid, found.st_gid))


def _links(path: str) -> Iterator[tuple[str, int]]:
    """Give the symbolic links on the way to an absolute path, and whose they are. Raises OSError."""
    at, waiting, left = "/", path.split("/")[::-1], _MOST_LINKS
    while waiting:
        part = waiting.pop()
        if part == "..":
            at = os.path.dirname(at)
        if part in ("", ".", ".."):
            continue
        here = os.path.join(at, part)
        found = os.lstat(here)
        if not stat.S_ISLNK(found.st_mode):
            at = here
            continue
        if not left:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        left -= 1
        yield here, found.st_uid
        target = os.readlink(here)
        at = "/" if target.startswith("/") else at
        waiting += target.split("/")[::-1]


def each(paths: Iterable[str], work: Callable[[str], bool]) -> bool:
    """Do ``work`` at each path, whatever became of the others; True if all are good."""
    good = True
    for path in paths:
        try:
            good &= at(named(path), work)
        except OSError as error:
            sys.stderr.write(f"ERR: {error.filename}: {error.strerror}\n")
            good = False
    return good


def become(path: str) -> str:
    """Have root go on as the owner of a maildir, whose server could not read root's files in it.

    Nothing happens to others, nor where there is no maildir yet.

    Returns: the path to go on with; the owner may not enter the directory that it was relative to.

    Raises:
        OSError: somebody else's symbolic link leads there.
    """
    if os.geteuid() != 0:
        return path
    try:
        place = named(path)
    except FileNotFoundError:
        return path
    if place.ids.uid == 0:
        return path
    privileges.become(place.ids)
    return place.path


def at(place: Place, work: Callable[[str], bool]) -> bool:
    """Do ``work`` with a maildir's path, in a process with the rights of its owner and no more.

    Returns: what ``work`` returned; False if it failed, which is said on standard error.
    """
    if (os.geteuid(), os.getegid()) == (place.ids.uid, place.ids.gid):
        return work(place.path)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            privileges.become(place.ids)
            os.chdir("/")
            status = int(not work(place.path))
            sys.stdout.flush()
        except OSError as error:
            sys.stderr.write(f"ERR: {error.filename or place.path}: {error.strerror or error}\n")
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
