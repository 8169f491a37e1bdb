"""Sharable maildirs: folders that file permissions open to others, and where they are known from.

    nick white-space path         a line of M/shared-maildirs, or of the system's maildirshared

``#`` starts a comment. Who has such a line sees the folders of the maildir at ``path`` that he may read; see
`link_farm` for how he reads them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from courier.maildir import delivery
from courier.maildir.lock import FolderLock

NAME = "shared-maildirs"
_SEPARATORS = re.compile(r"[,\s]+")


class InvalidNick(ValueError):
    """A name with a dot or a slash in it, or none."""


class AlreadyDefined(Exception):
    """The nick has a line already."""


class NotDefined(Exception):
    """The nick has no line."""


@dataclass(frozen=True, slots=True)
class Modes:
    """Permissions of a shared folder: of its directory, and of those in it."""

    folder: int
    inner: int


#: Of a folder of an account's own, and of one that everybody may read (maildirmake -S).
PRIVATE = Modes(0o700, 0o700)
READABLE = Modes(0o755, 0o755)


def modes(words: str) -> Modes:
    """Read ``read``, ``write`` and ``group``, by their first letters and in their order.

    Who may write may not remove what others wrote: the sticky bit. ``group`` shuts out others
    from what the words before it opened.
    """
    found = READABLE
    for word in _SEPARATORS.split(words):
        if word.startswith("r"):
            found = READABLE
        elif word.startswith("w"):
            found = Modes(0o1755, 0o1777)
        elif word.startswith("g"):
            found = Modes(found.folder & ~0o007, found.inner & ~0o007)
    return found


def definitions(*files: str) -> dict[str, str]:
    """Read which maildirs there are, by nick; of files and lines the first one counts."""
    found: dict[str, str] = {}
    for file in files:
        for line in _lines(file):
            nick, path = _fields(line)
            if path and "." not in nick and "/" not in nick:
                found.setdefault(nick, path)
    return found


def add(maildir: str, nick: str, path: str) -> None:
    """Add a line for ``nick``. Others see the file without or with it, also after a crash.

    Raises:
        InvalidNick: it can't be a part of a mailbox's name.
        AlreadyDefined: there is such a line.
        OSError: ``path`` can't be read, or the file not written; nothing has changed.
    """
    if not nick or "." in nick or "/" in nick or nick.split() != [nick]:
        raise InvalidNick(nick)
    os.listdir(path)
    with FolderLock(maildir):
        lines = _lines(os.path.join(maildir, NAME))
        if any(_fields(line)[0] == nick for line in lines):
            raise AlreadyDefined(nick)
        _write(maildir, [*lines, f"{nick}\t{path}"])


def remove(maildir: str, nick: str) -> None:
    """Remove the line of ``nick``; other lines stay as they are.

    Raises:
        NotDefined: there is none.
        OSError: the file can't be written; nothing has changed.
    """
    with FolderLock(maildir):
        lines = _lines(os.path.join(maildir, NAME))
        kept = [line for line in lines if _fields(line)[0] != nick]
        if len(kept) == len(lines):
            raise NotDefined(nick)
        _write(maildir, kept)


def _lines(file: str) -> list[str]:
    try:
        text, _ = delivery.read_regular(file)
    except OSError:
        return []
    return [line.decode("utf-8", "surrogateescape") for line in text.split(b"\n") if line]


def _fields(line: str) -> tuple[str, str]:
    nick, *path = line.partition("#")[0].split(None, 1) or [""]
    return nick, path[0].rstrip() if path else ""


def _write(maildir: str, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    delivery.write_atomically(maildir, NAME, text, "shared", sync=True)
