"""Work in a maildir as its owner: nobody else's files belong there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from courier.process import privileges
from courier.process.privileges import Ids


@dataclass(frozen=True, slots=True)
class Place:
    """A maildir, and as whom and where to look at it."""

    path: str
    ids: Ids
    home: str | None = None  # what a relative path is below of


def named(path: str) -> Place:
    """Give the maildir at a path, to be looked at as its owner.

    Raises:
        OSError: there is none.
    """
    found = os.stat(os.path.join(path, "cur"))
    return Place(os.path.abspath(path), Ids(found.st_uid, found.st_gid))


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


def at(place: Place, work: Callable[[str], bool]) -> bool:
    """Do ``work`` with a maildir's path, in a process with the rights of its owner and no more.

    Returns: what ``work`` returned; False if it failed, which is said on standard error.
    """
    if (os.geteuid(), os.getegid()) == (place.ids.uid, place.ids.gid) and place.home is None:
        return work(place.path)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            privileges.become(place.ids)
            os.chdir(place.home or "/")
            status = int(not work(place.path))
            sys.stdout.flush()
        except OSError as error:
            sys.stderr.write(f"ERR: {error.filename or place.path}: {error.strerror or error}\n")
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
