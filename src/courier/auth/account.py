"""What authentication returns, and as whom an account's session runs."""

from __future__ import annotations

import hmac
import os
import pwd
from dataclasses import dataclass


class Secret:
    """A password or its stored form; it shows itself as `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # no key of any cache

    def __repr__(self) -> str:
        return "'***'"


@dataclass(frozen=True, slots=True)
class Account:
    """An account as authdaemond tells it; None is an attribute that isn't there.

    A system account has a ``username``, a virtual one a ``uid``. ``passwd`` is the stored hash,
    ``clear`` the password itself. ``sasl`` is what the mechanism has still to say to the client.
    Text that is no UTF-8 is held with surrogate escapes.
    """

    address: str
    gid: int
    home: str
    username: str | None = None
    uid: int | None = None
    maildir: str | None = None
    quota: str | None = None
    fullname: str | None = None
    passwd: Secret | None = None
    clear: Secret | None = None
    options: str | None = None
    sasl: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process becomes, in the order of the steps: groups, gid, uid, then its directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    maildir: str | None


class NoIdentity(Exception):
    """No process may become this account; the text says why, for the log."""


def identity(account: Account, *, permit_root: bool = False) -> Identity:
    """Return as whom a session of ``account`` runs.

    A system account gets what the system says, as after a log-in at the console: its uid, and all
    its groups. A virtual account gets its two numbers and no other group.

    Courier lets a database make anybody root. Here a virtual account with uid 0 or gid 0 is
    refused unless ``permit_root``. A system account may be root: PAM has let it in.

    Raises:
        NoIdentity: unknown user, numbers that no process can have, or root where it's refused.
        OSError: the system's user database failed; it may work the next time.
    """
    if account.username is not None:
        uid, groups = _system_user(account.username, _valid("gid", account.gid))
    else:
        uid, groups = _virtual_user(account, permit_root)
    return Identity(uid, account.gid, groups, account.home, account.maildir)


def _system_user(username: str, gid: int) -> tuple[int, tuple[int, ...]]:
    try:
        uid = pwd.getpwnam(username).pw_uid
    except KeyError:
        raise NoIdentity("no such system user") from None
    return uid, tuple(os.getgrouplist(username, gid))


def _virtual_user(account: Account, permit_root: bool) -> tuple[int, tuple[int, ...]]:
    if account.uid is None:
        raise NoIdentity("neither a system user nor a uid")
    uid, gid = _valid("uid", account.uid), _valid("gid", account.gid)
    if not permit_root and 0 in (uid, gid):
        raise NoIdentity("uid or gid is 0")
    return uid, (gid,)


def _valid(what: str, number: int) -> int:
    # 2**32 - 1 is the system's "leave as it is": setresuid(-1, -1, -1) would stay root.
    if not 0 <= number < 2**32 - 1:
        raise NoIdentity(f"{what} {number} is out of range")
    return number
