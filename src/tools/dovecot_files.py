"""Dovecot's files in a maildir, as far as Courier's have the same to say.

dovecot-uidlist in a folder, UIDs by file name. Of version 3, the first line has fields that begin with a
letter (V UIDVALIDITY, N UIDNEXT); a message's line has such fields between UID and file name, which a
colon introduces. Version 1 is what Courier writes::

    3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
    25006 W2481 :1276528487.M364837P9451.kurkku,S=2473

dovecot-keywords in a folder, ``NUMBER KEYWORD`` each; in a message's flags a is number 0, b 1, to z.

subscriptions in the maildir, a folder's name a line; of version 2 after a line ``V TAB 2`` and an empty
one, levels separated by TAB.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from courier.maildir import delivery, filename
from courier.maildir.uiddb import MAX_UID, UidDb

UIDLIST = "dovecot-uidlist"
KEYWORDS = "dovecot-keywords"
SUBSCRIPTIONS = "subscriptions"
LETTERS = "abcdefghijklmnopqrstuvwxyz"

_FIELD = re.compile(rb"([A-Za-z])(\S*)")


class Unreadable(Exception):
    """The file is none of Dovecot's, or damaged; the text says where."""


@dataclass(frozen=True, slots=True)
class UidList:
    """``uids`` ascends; ``bases`` are the messages' file names without ``:2,…``."""

    uidvalidity: int
    uidnext: int
    uids: Sequence[int]
    bases: Sequence[bytes]

    def only(self, existing: Iterable[bytes]) -> UidDb:
        """Give Courier's database of the messages that exist."""
        wanted = frozenset(existing)
        kept = [
            (uid, base) for uid, base in zip(self.uids, self.bases, strict=True) if base in wanted
        ]
        uids = array("I", [uid for uid, _ in kept])
        return UidDb(self.uidvalidity, self.uidnext, uids, [base for _, base in kept])


def read_uidlist(folder: str) -> UidList | None:
    """Read a folder's UIDs; None if there is no list.

    Raises:
        Unreadable: it can't be relied on: a UID must never name another message.
        OSError: it can't be read.
    """
    try:
        data, _ = delivery.read_regular(os.path.join(folder, UIDLIST))
    except FileNotFoundError:
        return None
    first, *lines = data.split(b"\n")
    version, uidvalidity, uidnext = _head(first)
    uids: list[int] = []
    bases: list[bytes] = []
    for number, line in enumerate(lines, 2):
        if not line or number == len(lines) + 1:  # the last one has no end: it is being written
            continue
        uid, base = _message(line, version, number)
        if uids and uid <= uids[-1]:
            raise Unreadable(f"line {number}: UID {uid} after {uids[-1]}")
        uids.append(uid)
        bases.append(base)
    if len(set(bases)) != len(bases):
        raise Unreadable("two UIDs for one message")
    highest = uids[-1] if uids else 0
    return UidList(uidvalidity, max(uidnext, highest + 1), uids, bases)


def _head(line: bytes) -> tuple[int, int, int]:
    version, *fields = line.split() or [b""]
    if version == b"1" and len(fields) >= 2:
        numbers = dict(zip((b"V", b"N"), fields, strict=False))
    elif version == b"3":
        found = [_FIELD.fullmatch(field) for field in fields]
        numbers = {field[1]: field[2] for field in found if field}
    else:
        raise Unreadable("line 1: expected version 1 or 3")
    try:
        uidvalidity, uidnext = int(numbers[b"V"]), int(numbers.get(b"N", b"1"))
    except (KeyError, ValueError):
        raise Unreadable("line 1: expected UIDVALIDITY and UIDNEXT") from None
    if not (0 < uidvalidity <= MAX_UID and 0 < uidnext <= MAX_UID):
        raise Unreadable("line 1: UIDVALIDITY or UIDNEXT out of range")
    return int(version), uidvalidity, uidnext


def _message(line: bytes, version: int, number: int) -> tuple[int, bytes]:
    uid, _, rest = line.partition(b" ")
    if version == 3:
        name = rest[1:] if rest.startswith(b":") else rest.partition(b" :")[2]
    else:
        name = rest
    base = filename.base(name)
    if not uid.isdigit() or not 0 < int(uid) < MAX_UID or not base or b"/" in base:
        raise Unreadable(f"line {number}: expected a UID and a file name")
    return int(uid), base


def read_keywords(folder: str) -> Mapping[str, str]:
    """Read which keyword each letter of a file name's flags stands for."""
    try:
        data, _ = delivery.read_regular(os.path.join(folder, KEYWORDS))
    except FileNotFoundError:
        return {}
    found = {}
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        number, _, keyword = line.partition(" ")
        if number.isdecimal() and int(number) < len(LETTERS) and keyword:
            found[LETTERS[int(number)]] = keyword
    return found


def read_subscriptions(maildir: str) -> list[str]:
    """Read the names of subscribed folders, as they are on disk, without Courier's ``INBOX.``."""
    try:
        data, _ = delivery.read_regular(os.path.join(maildir, SUBSCRIPTIONS))
    except FileNotFoundError:
        return []
    first, *lines = data.decode("utf-8", "surrogateescape").split("\n")
    if first.split("\t") == ["V", "2"]:
        return [line.replace("\t", ".") for line in lines if line]
    return [line for line in (first, *lines) if line]
