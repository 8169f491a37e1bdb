"""Replies on authdaemond's socket, both ways: accounts to bytes, and bytes to accounts.

An account is lines `NAME=value` in a fixed order and a line `.`; `FAIL` says no, without a reason.
A connection that is closed before that is a temporary failure: there is no other word for it.
SASL, after Courier's attributes or alone, is ours (`challenge`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from courier.auth.account import Account, Secret

#: Octets of a reply. Courier's client reads no more.
LONGEST_REPLY = 8191

OK = b"OK\n"
FAIL = b"FAIL\n"
END = b".\n"


@dataclass(frozen=True, slots=True)
class Changed:
    """The password was changed."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """No such account, a wrong password, or nothing that any module takes."""


@dataclass(frozen=True, slots=True)
class Temporary:
    """It can't be said now. ``reason`` is for the log, ``errno`` for Courier's tools."""

    reason: str
    errno: int


@dataclass(frozen=True, slots=True)
class Said:
    """A challenge for the client; it is not let in yet."""

    text: str


Outcome = Account | Changed | Rejected | Temporary | Said


class NoAccount(ValueError):
    """Lines that end well but are no account."""


# --- Accounts to bytes --------------------------------------------------------------------------


def encode(account: Account) -> bytes:
    """Return the reply that tells ``account``."""
    attributes: list[tuple[bytes, str | int | Secret | None]] = [
        (b"USERNAME", account.username),
        (b"UID", account.uid),
        (b"GID", account.gid),
        (b"HOME", account.home),
        (b"ADDRESS", account.address),
        (b"NAME", account.fullname),
        (b"MAILDIR", account.maildir),
        (b"QUOTA", account.quota),
        (b"PASSWD", account.passwd),
        (b"PASSWD2", account.clear),
        (b"OPTIONS", account.options),
        (b"SASL", account.sasl),
    ]
    told = [(name, octets(value)) for name, value in attributes if value is not None]
    return b"".join(name + b"=" + value + b"\n" for name, value in told) + END


def encode_said(text: bytes) -> bytes:
    """Return the reply that tells a challenge."""
    return b"SASL=" + text + b"\n" + END


def encode_listed(account: Account) -> bytes:
    """Return an account's line in the list that answers ENUMERATE."""
    fields: list[str | int] = [
        account.address,
        account.uid or 0,
        account.gid,
        account.home,
        account.maildir or "",
        account.options or "",
    ]
    return b"\t".join(map(octets, fields)) + b"\n"


_END_OF_VALUE = re.compile(rb"[\n\0]")


def octets(value: str | int | Secret) -> bytes:
    """Write a value, up to what would end it: nothing here is quoted."""
    if isinstance(value, Secret):
        text = value.reveal()
    else:
        text = str(value).encode("utf-8", "surrogateescape")
    end = _END_OF_VALUE.search(text)
    return text if end is None else text[: end.start()]


# --- Bytes to accounts --------------------------------------------------------------------------


class Reader:
    """Takes what authdaemond sends in answer to PRE, AUTH or PASSWD."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Outcome | None:
        """Take ``data``; return the outcome, or None while more is needed.

        Raises:
            NoAccount: the reply is too long or makes no sense.
        """
        self._data += data
        if self._data == OK:
            return Changed()
        if self._data == FAIL:
            return Rejected()
        if self._data == END or self._data.endswith(b"\n" + END):
            return decode(bytes(self._data))
        if len(self._data) > LONGEST_REPLY:
            raise NoAccount("reply too long")
        return None


def decode(reply: bytes) -> Account | Said:
    """Read an account's lines, or a challenge's, as far as the line `.`.

    Lines without `=` and names not known are skipped; the last one of a name counts.

    Raises:
        NoAccount: no address, no numbers to become it by, or the end is missing.
    """
    lines, end, _ = (b"\n" + reply).partition(b"\n" + END)
    if not end:
        raise NoAccount("reply without an end")
    found: dict[bytes, bytes] = {}
    for line in lines.split(b"\n"):
        name, separator, value = line.partition(b"=")
        if separator:
            found[name] = value
    if found.keys() == {b"SASL"}:
        return Said(found[b"SASL"].decode("ascii", "replace"))
    username, uid, gid = (_text(found, b"USERNAME"), _number(found, b"UID"), _number(found, b"GID"))
    address = _text(found, b"ADDRESS")
    if not address:
        raise NoAccount("reply without an address")
    if gid is None or (username is None and uid is None):
        raise NoAccount("reply without uid or gid")
    return Account(
        address=address,
        gid=gid,
        home=_text(found, b"HOME") or "",
        username=username,
        uid=uid,
        maildir=_text(found, b"MAILDIR"),
        quota=_text(found, b"QUOTA"),
        fullname=_text(found, b"NAME"),
        passwd=_secret(found, b"PASSWD"),
        clear=_secret(found, b"PASSWD2"),
        options=_text(found, b"OPTIONS"),
        sasl=_text(found, b"SASL"),
    )


def _text(found: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = found.get(name)
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _secret(found: Mapping[bytes, bytes], name: bytes) -> Secret | None:
    return Secret(found[name]) if name in found else None


def _number(found: Mapping[bytes, bytes], name: bytes) -> int | None:
    value = found.get(name)
    if value is None:
        return None
    # Courier takes what atol takes, so "nobody" becomes root. A number is a number here.
    if not re.fullmatch(rb"[0-9]{1,10}", value):
        raise NoAccount(f"{name.decode()} is no number")
    return int(value)


def decode_listed(line: bytes) -> Account | None:
    """Read a line of ENUMERATE's list; None for a comment, and for accounts of uid 0 or gid 0.

    A list ends with the line `.`, which is the caller's to see.
    """
    fields = line.partition(b"#")[0].split(b"\t")
    if len(fields) < 3 or not all(re.fullmatch(rb"[0-9]{1,10}", number) for number in fields[1:3]):
        return None
    name, home, maildir, options = (
        field.decode("utf-8", "surrogateescape")
        for field in [fields[0], *[*fields, b"", b"", b""][3:6]]
    )
    uid, gid = int(fields[1]), int(fields[2])
    if not name or 0 in (uid, gid):
        return None
    return Account(name, gid, home, uid=uid, maildir=maildir or None, options=options or None)
