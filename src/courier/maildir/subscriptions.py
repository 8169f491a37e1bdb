"""courierimapsubscribed: the mailboxes a user has subscribed to.

Full mailbox names in UTF-8, one a line, in the order of subscription, in the account's main
maildir. Names of mailboxes that don't exist may be in it. Old-style shared folders (``shared.…``)
never are. Names that a Courier before 5.0 has written (`old_names`) are those that it meant.
"""

import os

from courier.maildir import delivery, old_names
from courier.maildir.lock import FolderLock

NAME = "courierimapsubscribed"
LONGEST_NAME = 8191
"""Octets; Courier breaks longer lines up."""

_INBOX = b"INBOX"


def read(maildir: str) -> list[str]:
    """Return the subscribed names. Bytes that are not UTF-8 become lone surrogates.

    Raises:
        OSError: there is a file, but it can't be read.
    """
    return [line.decode("utf-8", "surrogateescape") for line, _ in _meant(maildir)]


def add(maildir: str, name: str, *, use_locks: bool = True, sync: bool = False) -> bool:
    """Subscribe to ``name``; False if it was subscribed before.

    Others see the old list or the new one, also after a crash. The maildir's lock keeps two of our
    sessions from undoing each other's change; Courier's take none here.

    Raises:
        ValueError: a name that can't be a line of the file.
        OSError: nothing has changed.
    """
    wanted = _line(name)
    with FolderLock(maildir, enabled=use_locks):
        lines = _meant(maildir)
        if any(_is_same(line, wanted) for line, _ in lines):
            return False
        _write_lines(maildir, [*(written for _, written in lines), wanted], sync)
    return True


def remove(maildir: str, name: str, *, use_locks: bool = True, sync: bool = False) -> bool:
    """Unsubscribe from ``name``; False if it was not subscribed. Otherwise as add."""
    wanted = _line(name)
    with FolderLock(maildir, enabled=use_locks):
        lines = _meant(maildir)
        kept = [written for line, written in lines if not _is_same(line, wanted)]
        if len(kept) == len(lines):
            return False
        _write_lines(maildir, kept, sync)
    return True


def _meant(maildir: str) -> list[tuple[bytes, bytes]]:
    """Give each line as it is meant, and as it is written."""
    lines = _read_lines(maildir)
    if not any(b"&" in line for line in lines) or old_names.is_converted(maildir):
        return [(line, line) for line in lines]
    return [(_decoded(line), line) for line in lines]


def _decoded(line: bytes) -> bytes:
    try:
        return old_names.decode(line.decode("ascii")).encode()
    except (UnicodeError, old_names.NotOld):
        return line


def _read_lines(maildir: str) -> list[bytes]:
    try:
        text, _ = delivery.read_regular(os.path.join(maildir, NAME))
    except FileNotFoundError:
        return []
    return [line for line in text.split(b"\n") if line]


def _write_lines(maildir: str, lines: list[bytes], sync: bool) -> None:
    text = b"".join(line + b"\n" for line in lines)
    delivery.write_atomically(maildir, NAME, text, "imapsubscribe", sync=sync)


def _line(name: str) -> bytes:
    if not name or any(ord(character) < 0x20 or character == "\x7f" for character in name):
        raise ValueError(f"not a mailbox name: {name!r}")
    line = name.encode("utf-8", "surrogateescape")
    if len(line) > LONGEST_NAME:
        raise ValueError(f"mailbox name of {len(line)} octets")
    return line


def _is_same(one: bytes, other: bytes) -> bool:
    """Courier: the five letters INBOX in any case, the rest byte for byte."""
    if one[:5].upper() == _INBOX == other[:5].upper():
        return one[5:] == other[5:]
    return one == other
