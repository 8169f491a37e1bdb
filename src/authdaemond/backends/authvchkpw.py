"""authvchkpw: accounts of vpopmail, from its vpasswd files. Courier had this module until 2008.

    NAME:HASH:UID:GID:GECOS:HOME:QUOTA[:PASSWORD]

A domain's file is ``vpasswd`` in the directory that qmail's users/assign names for it, else in
``domains/DOMAIN`` below vpopmail's home; userids without a domain are in ``users``. A line's UID says
nothing, its GID is a set of bits for what the account may not do. The mail belongs to the domain's
user: that of users/assign, else vpopmail.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from authdaemond import log
from authdaemond.backends.backend import (
    Backend,
    Rejected,
    Unavailable,
    check_cram,
    check_password,
    response,
    text,
)
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, Lookup

USER = "vpopmail"
ASSIGN = Path("/var/qmail/users/assign")

#: Bits of GID, and the options that say the same.
_BITS = {
    0x01: "wbnochangepass=1",
    0x02: "disablepop3=1",
    0x04: "disablewebmail=1",
    0x08: "disableimap=1",
}
_DOMAIN = re.compile(r"[a-z0-9_][a-z0-9._-]*\Z")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_FIELDS = 7


@dataclass(frozen=True, slots=True)
class _Domain:
    name: str  # empty for userids without one
    directory: Path
    uid: int
    gid: int


class AuthVchkpw(Backend):
    NEEDS_ROOT = True  # vpasswd is vpopmail's alone
    NAME = "authvchkpw"

    def __init__(self, home: Path | None = None, assign: Path = ASSIGN) -> None:
        """``home`` is vpopmail's, by default that of the user `USER`."""
        self._home = home
        self._assign = assign

    def lookup(self, request: Lookup) -> Account:
        return self._found(request.userid)

    def login(self, request: Authenticate) -> Account:
        account = self._found(request.first)
        check_password(account.passwd, request.second)
        return replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        answer = response(request)
        account = self._found(answer.userid)
        check_cram(answer, account.clear)
        return account

    def accounts(self) -> Iterator[Account]:
        try:
            owner = self._owner()
        except Rejected:
            return
        names = {domain.name: domain for domain in self._assigned()}
        for directory in sorted((owner.directory / "domains").glob("*/vpasswd")):
            domain = replace(owner, name=directory.parent.name, directory=directory.parent)
            names.setdefault(domain.name, domain)
        names[""] = replace(owner, directory=owner.directory / "users")
        for domain in names.values():
            for fields in _lines(domain.directory / "vpasswd"):
                try:
                    yield _account(domain, fields)
                except Unavailable as reason:
                    log.warn(str(reason))

    def _found(self, userid: bytes) -> Account:
        name, _, domain_name = text(userid).lower().partition("@")
        if domain_name and not _DOMAIN.match(domain_name):
            raise Rejected
        domain = self._domain(domain_name)
        for fields in _lines(domain.directory / "vpasswd"):
            if fields[0] == name:
                account = _account(domain, fields)
                log.found(self.NAME, account)
                return account
        raise Rejected

    def _domain(self, name: str) -> _Domain:
        """Raises Rejected if vpopmail is not on this machine."""
        for domain in self._assigned() if name else ():
            if domain.name == name:
                return domain
        owner = self._owner()
        below = Path("domains", name) if name else Path("users")
        return replace(owner, name=name, directory=owner.directory / below)

    def _owner(self) -> _Domain:
        try:
            found = pwd.getpwnam(USER)
        except KeyError:
            log.debug("authvchkpw: no user %s", USER)
            raise Rejected from None
        return _Domain("", self._home or Path(found.pw_dir), found.pw_uid, found.pw_gid)

    def _assigned(self) -> Iterator[_Domain]:
        """Read the domains of ``+domain-:domain:uid:gid:directory:-::``."""
        try:
            lines = self._assign.read_text("utf-8", "surrogateescape").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            fields = line.split(":")
            if line.startswith("+") and len(fields) > 4 and all(map(_NUMBER.match, fields[2:4])):
                alias = fields[0][1:].removesuffix("-")
                yield _Domain(alias, Path(fields[4]), int(fields[2]), int(fields[3]))


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        fields = line.split(":")
        if len(fields) >= _FIELDS and fields[0] and not line.startswith("#"):
            yield fields


def _account(domain: _Domain, fields: list[str]) -> Account:
    name, stored, _, bits, gecos, home, quota = fields[:_FIELDS]
    if not _NUMBER.match(bits):
        raise Unavailable(f"{domain.directory}/vpasswd: {name}: expected a number as gid")
    options = ",".join(option for bit, option in _BITS.items() if int(bits) & bit)
    clear = fields[_FIELDS] if len(fields) > _FIELDS else ""
    return Account(
        address=f"{name}@{domain.name}" if domain.name else name,
        uid=domain.uid,
        gid=domain.gid,
        home=home,
        fullname=gecos,
        quota=quota if quota[:1].isdigit() else None,  # NOQUOTA
        passwd=_secret(stored),
        clear=_secret(clear),
        options=options or None,
    )


def _secret(value: str) -> Secret | None:
    return Secret(value.encode("utf-8", "surrogateescape")) if value else None


BACKEND = AuthVchkpw
