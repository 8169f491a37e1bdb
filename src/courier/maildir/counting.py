"""Counting what a maildir holds, message by message; and which maildir a folder's messages count in."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from courier.maildir import filename
from courier.maildir.allowance import Usage

FOLDER_MARK = "maildirfolder"

#: Tells whether a message with these flags in a folder of this name is counted.
Counts = Callable[[str, int], bool]
#: Time of modification and inode of each directory that was read.
Times = tuple[tuple[int, int], ...]


def count(maildir: str, counts: Counts) -> tuple[Usage, Times]:
    """Count all messages, and say what `times` were before.

    Raises:
        OSError: something can't be read.
    """
    before = times(maildir, counts)
    used = Usage()
    for name, path in _folders(maildir, counts):
        for directory in ("new", "cur"):
            used += _held(name, os.path.join(path, directory), counts)
    return used, before


def times(maildir: str, counts: Counts) -> Times:
    """Give what differs once a message came or went."""
    found = []
    for _, path in _folders(maildir, counts):
        for directory in ("new", "cur"):
            try:
                one = os.stat(os.path.join(path, directory))
            except OSError:
                continue
            found.append((one.st_mtime_ns, one.st_ino))
    return tuple(found)


def _held(folder: str, path: str, counts: Counts) -> Usage:
    octets = messages = 0
    for name in _names(path):
        if counts(folder, filename.flags(name)):
            size = octets_of(os.path.join(os.fsencode(path), name))
            if size is not None:
                octets, messages = octets + size, messages + 1
    return Usage(octets, messages)


def _folders(maildir: str, counts: Counts) -> Iterator[tuple[str, str]]:
    """Give name and directory of the folders that are counted; none is a symbolic link."""
    yield "", maildir
    with os.scandir(maildir) as entries:
        found = sorted(
            entry.name
            for entry in entries
            if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        )
    for name in found:
        if counts(name[1:], 0):
            yield name[1:], os.path.join(maildir, name)


def holder(folder: str) -> tuple[str, str]:
    """Give the maildir whose quota a directory with messages counts for, and the folder's name.

    That is the directory above one that has a `maildirfolder`, else itself. A symbolic link is
    looked through: what it points to is in the quota of the maildir that it lies in.
    """
    if not os.path.lexists(os.path.join(folder, FOLDER_MARK)):
        return folder, ""
    real = os.path.realpath(folder)
    return os.path.dirname(real), os.path.basename(real).removeprefix(".")


def octets_of(path: bytes) -> int | None:
    """Say how many octets a message counts for: as its name states, else its file's; None: gone."""
    stated = filename.stated_size(filename.base(os.path.basename(path)))
    if stated is not None:
        return stated
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def weight(names: Iterable[bytes], sizes: dict[bytes, int]) -> Usage:
    """Sum up messages that are gone: octets as their names state, else from ``sizes`` by base."""
    octets = messages = 0
    for name in names:
        base = filename.base(name)
        stated = filename.stated_size(base)
        octets += sizes.get(base, 0) if stated is None else stated
        messages += 1
    return Usage(octets, messages)


def _names(path: str) -> list[bytes]:
    try:
        return [name for name in os.listdir(os.fsencode(path)) if not name.startswith(b".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
