"""Mailbox names: the client's spelling, the folder's name on disk, and back.

``INBOX`` (any case) is the maildir, ``INBOX.a.b`` its folder ``.a.b``. Other name spaces (shared
folders) are known by name, and hold nothing yet.
"""

from __future__ import annotations

import re

from courier.maildir import tree
from imapd.completion import CommandFailed, No
from imapd.wire import utf7, writer

INBOX = "INBOX"
_INBOX = re.compile(r"inbox(?:\.|\Z)", re.IGNORECASE | re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


class NotFound(CommandFailed):
    """There is no such mailbox, as far as this client may know."""

    def __init__(self) -> None:
        super().__init__(No("Mailbox does not exist, or must be subscribed to.", "NONEXISTENT"))


class InvalidName(CommandFailed):
    """The name is in no name space of this server, or not a name at all."""

    def __init__(self) -> None:
        super().__init__(No("Invalid mailbox name.", "CANNOT"))


def decode(name: bytes, *, utf8: bool) -> str:
    """Read a name as the client sent it.

    Raises:
        InvalidName: it is not modified UTF-7, or after ENABLE UTF8=ACCEPT not UTF-8.
    """
    try:
        return name.decode() if utf8 else utf7.decode(name)
    except ValueError as error:
        raise InvalidName from error


def encode(name: str, *, utf8: bool) -> bytes | None:
    """Write a mailbox's name as a quoted string; None if it can be told to no client."""
    try:
        return writer.mailbox(name, utf8=utf8)
    except ValueError:
        return None


def folder(name: str) -> str | None:
    """Give the folder that a mailbox name stands for, ``""`` for INBOX; None if for none."""
    name = with_inbox_in_capitals(name)
    if name == "INBOX":
        return ""
    if name.startswith("INBOX.") and tree.is_name(name[6:]):
        return name[6:]
    return None


def with_inbox_in_capitals(name: str) -> str:
    """Give a name, or a pattern, with its first level as all answers have it if that is INBOX."""
    return "INBOX" + name[5:] if _INBOX.match(name) else name


def is_shared(name: str) -> bool:
    """Tell whether a name lies in the name spaces of other people's folders."""
    return name.startswith(("shared.", "#shared.")) or name in ("shared", "#shared")


def mailbox(folder: str) -> str:
    """Give the mailbox name of a folder of one's own."""
    return f"INBOX.{folder}" if folder else "INBOX"


def is_creatable(name: str) -> bool:
    """Tell whether a new mailbox may have this name: no control characters, no half characters."""
    return not _CONTROL.search(name) and not any(0xD800 <= ord(char) <= 0xDFFF for char in name)
