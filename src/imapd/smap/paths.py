r"""Paths: the words that name a folder, and the mailbox that they stand for.

``INBOX w1 w2…`` is the account's folder ``.w1.w2…``, in which ``. / ~ : \`` and control characters of the words
are written as a backslash and three octal digits. ``public n1 n2… w1…`` walks the index of shared accounts.
All go by way of the IMAP name: from there `Mailboxes.find` alone leads to a directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from courier.maildir.making import smap_name
from courier.maildir.shared_index import Account
from imapd.account_session import AccountSession
from imapd.mailboxes import Mailbox, Space
from imapd.smap.refusal import AccessDenied, invalid

Path = tuple[str, ...]

OWN = "INBOX"
PUBLIC = "public"
_SHARED = "#shared"

_ESCAPED = re.compile(r"\\([0-3][0-7]{2})")


def find(session: AccountSession, path: Path) -> Mailbox:
    """Give what a path stands for, whether it exists or not.

    Raises:
        OSError: EINVAL, it can be no folder's.
    """
    first, *words = path or ("",)
    if first == OWN:
        found = session.mailboxes.find(_below("INBOX", words))
    elif first == PUBLIC:
        found = _public(session, words)
    else:
        raise invalid()
    if found is None:
        raise invalid()
    return found if found.exists or found.tree is None else _otherwise_named(session, found)


def words(folder: str) -> Path:
    """Give the words of a folder's name.

    Control characters stay escaped, for no line can hold them.
    """
    return tuple(_ESCAPED.sub(_unescaped, component) for component in folder.split("."))


def _unescaped(found: re.Match[str]) -> str:
    code = int(found[1], 8)
    return found[0] if code < 0x20 or code == 0x7F else chr(code)


def _below(top: str, words: Iterable[str]) -> str:
    return ".".join([top, *map(_escaped, words)])


def _escaped(word: str) -> str:
    """Write a word as a component of a name. Courier: octets that are no UTF-8 are left out."""
    return smap_name(word.encode("utf-8", "surrogateescape").decode("utf-8", "ignore"))


def _public(session: AccountSession, path: Sequence[str]) -> Mailbox | None:
    """Follow the index: each word must be a record's name, up to an account's."""
    name, file = _SHARED, None
    for depth, word in enumerate(path, 1):
        records = session.mailboxes.index.records(file).items()
        found = next((pair for pair in records if pair[1].name == word), None)
        if found is None:
            return None
        shown, record = found
        name = f"{name}.{shown}"
        if isinstance(record, Account):
            return session.mailboxes.find(_below(name, path[depth:]))
        file = record.file
    # Courier: a level is there for everybody to see.
    level = Mailbox(name, Space.VIRTUAL, None, "", "l", exists=False)
    return level if not path else session.mailboxes.find(name)


def _otherwise_named(session: AccountSession, found: Mailbox) -> Mailbox:
    """Give the folder whose name says the same in another way, if there is one."""
    assert found.tree is not None
    wanted = words(found.folder)
    for folder in found.tree.folders():
        if folder and words(folder) == wanted:
            top = found.name.removesuffix(found.folder)
            return session.mailboxes.find(top + folder) or found
    return found


def require(found: Mailbox, rights: str) -> Mailbox:
    """See to it that one of these rights is held.

    Raises:
        AccessDenied: with the last one.
    """
    if not found.may(rights):
        raise AccessDenied(rights[-1])
    return found
