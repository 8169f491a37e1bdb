"""shared-maildirs: the nicknames of maildirs whose folders are shared by file permissions.

NICK white-space PATH LF        "#" begins a comment

Who has such a line, in his maildir or in the system's maildirshared, sees the folders of the maildir at
PATH that he may read; see `link_farm` for how he reads them.
"""

from __future__ import annotations

import os
import re

from courier.maildir import delivery
from courier.maildir.lock import FolderLock

NAME = "shared-maildirs"


class AlreadyDefined(Exception):
    """The nickname stands for another maildir, or the same."""


def is_nick(nick: str) -> bool:
    """Tell whether it can be a nickname: one level of a mailbox name, and a word of the file."""
    return re.fullmatch(r"[^./#\s]+", nick) is not None


def is_path(path: str) -> bool:
    """Tell whether a line of the file can hold it."""
    return path.startswith("/") and not re.search(r"[#\n]", path) and path == path.strip()


def definitions(*files: str) -> dict[str, str]:
    """Read which maildirs there are, by nickname; of files and lines the first one counts."""
    found: dict[str, str] = {}
    for file in files:
        try:
            text, _ = delivery.read_regular(file)
        except OSError:
            continue
        for line in text.split(b"\n"):
            nick = os.fsdecode(_nick(line))
            if is_nick(nick) and b"\0" not in line:
                path = line.partition(b"#")[0].split(None, 1)[1].rstrip()
                found.setdefault(nick, os.fsdecode(path))
    return found


def add(maildir: str, nick: str, path: str) -> None:
    """Add a line. Others see the file without it or with it, also after a crash.

    Raises:
        AlreadyDefined: there is a line for ``nick``.
        OSError: the file is as it was.
    """
    with FolderLock(maildir):
        text = _read(maildir)
        if any(_nick(line) == os.fsencode(nick) for line in text.split(b"\n")):
            raise AlreadyDefined(nick)
        if text and not text.endswith(b"\n"):
            text += b"\n"
        _write(maildir, text + os.fsencode(f"{nick}\t{path}\n"))


def remove(maildir: str, nick: str) -> bool:
    """Remove the lines of ``nick``; False if there are none. As `add`."""
    with FolderLock(maildir):
        lines = _read(maildir).splitlines(keepends=True)
        kept = [line for line in lines if _nick(line) != os.fsencode(nick)]
        if len(kept) == len(lines):
            return False
        _write(maildir, b"".join(kept))
    return True


def _nick(line: bytes) -> bytes:
    words = line.partition(b"#")[0].split(None, 1)
    return words[0] if len(words) == 2 else b""


def _read(maildir: str) -> bytes:
    try:
        return delivery.read_regular(os.path.join(maildir, NAME))[0]
    except FileNotFoundError:
        return b""


def _write(maildir: str, text: bytes) -> None:
    delivery.write_atomically(maildir, NAME, text, "shared", sync=True)
