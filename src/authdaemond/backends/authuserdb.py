"""authuserdb: accounts from userdb.dat, passwords from userdbshadow.dat.

The password of a service, `imappw`, is the only one for that service where there is one; else
`systempw` counts. For CRAM it is `imap-hmac-md5pw`, else `hmac-md5pw`; for SCRAM the same with
`scram-sha-256pw`, unless the password itself is stored as SCRAM's secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from authdaemond import log
from authdaemond.backends.backend import (
    Backend,
    Rejected,
    Unavailable,
    check_password,
    response,
    text,
)
from courier.auth import hmac_state, passwords, scram, userdb, userdb_source
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup
from courier.auth.userdb import Database
from courier.auth.userdb_source import Failed

_NUMBER = re.compile(rb"[0-9]{1,10}\Z")
# What could be taken for something else in userdb's text, or on userdb's command line.
_UNSAFE = re.compile(rb"[\x00-\x1f|='\"]")

Fields = Mapping[bytes, bytes]


class AuthUserdb(Backend):
    NEEDS_ROOT = True  # userdbshadow.dat is root's alone
    FILES = (userdb.compiled(userdb.SOURCE), userdb.compiled_shadow(userdb.SOURCE))

    def __init__(self, source: Path = userdb.SOURCE) -> None:
        self._source = source
        self._public = Database(userdb.compiled(source))
        self._shadow = Database(userdb.compiled_shadow(source))

    def lookup(self, request: Lookup) -> Account:
        return self._found(request.service, request.userid)

    def login(self, request: Authenticate) -> Account:
        account = self._found(request.service, request.first)
        check_password(account.passwd, request.second)
        return replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        answer = response(request)
        fields = self._public.get(answer.userid)
        name = f"hmac-{answer.function.name}pw".encode()
        secrets = self._shadow.get(answer.userid) or {}
        stored = secrets.get(request.service + b"-" + name) or secrets.get(name)
        fits = stored is not None and answer.fits_secret(stored)
        log.cram_result(fits)
        if not fits or fields is None:
            raise Rejected
        # Courier tells less of an account here than after a password.
        return replace(_account(answer.userid, fields), quota=None, fullname=None)

    def scram(self, request: Authenticate, mechanism: bytes) -> Account:
        """The field `imap-scram-sha-256pw`, else `scram-sha-256pw`, else what a log-in goes by."""
        account = self._found(request.service, request.first)
        name = mechanism.lower() + b"pw"
        secrets = self._shadow.get(request.first) or {}
        stored = secrets.get(request.service + b"-" + name) or secrets.get(name)
        return account if stored is None else replace(account, passwd=Secret(stored))

    def change_password(self, request: ChangePassword) -> None:
        names = [request.userid, request.service]
        secrets = [request.old.reveal(), request.new.reveal()]
        if b"/" in request.userid or any(map(_UNSAFE.search, names + secrets)):
            raise Rejected
        public, shadow = self._public.get(request.userid), self._shadow.get(request.userid)
        if public is None or shadow is None:
            raise Rejected
        changed = _changed(shadow, request.service, *secrets)
        if not changed:
            raise Rejected
        file = self._file(public.get(userdb.LOCATION, b""))
        try:
            userdb_source.change(file, request.userid, lambda found: (found or {}) | changed)
            userdb_source.build(self._source)
        except Failed as failure:
            raise Unavailable("; ".join(filter(None, failure.lines))) from failure

    def accounts(self) -> Iterator[Account]:
        for name, fields in self._public.all():
            try:
                yield _account(name, fields)
            except Rejected:
                pass

    def _found(self, service: bytes, userid: bytes) -> Account:
        """An account with its stored password, if it has one for this service."""
        log.debug("userdb: looking up '%s'", userid)
        fields = self._public.get(userid)
        if fields is None:
            log.debug("userdb: entry not found")
            raise Rejected
        account = _account(userid, fields)
        secrets = self._shadow.get(userid)
        if secrets is None:
            log.debug("userdbshadow: entry not found")
        for name in (service + b"pw", b"systempw"):
            if secrets and name in secrets:
                log.debug("found %s in userdbshadow", name)
                account = replace(account, passwd=Secret(secrets[name]))
                break
        log.found("authuserdb", account)
        return account

    def _file(self, location: bytes) -> Path:
        """The text file in which an account stands."""
        parts = text(location).strip("/").split("/")
        if parts == [""]:
            return self._source
        if ".." in parts:
            raise Unavailable(f"userdb: {text(location)} leads out of {self._source}")
        return self._source.joinpath(*parts)


def _account(userid: bytes, fields: Fields) -> Account:
    """Courier: uid, gid and home must be there. Here what is no number is missing, and not 0.

    Raises:
        Rejected: one of them is missing.
    """
    for name in (b"home", b"uid", b"gid"):
        value = fields.get(name)
        if value is None or (name != b"home" and not _NUMBER.match(value)):
            log.debug("userdb: required value '%s' is missing", name)
            raise Rejected
    account = Account(
        address=text(userid),
        gid=int(fields[b"gid"]),
        home=text(fields[b"home"]),
        uid=int(fields[b"uid"]),
        maildir=_text(fields, b"mail"),
        quota=_text(fields, b"quota"),
        fullname=_text(fields, b"gecos"),
        options=_text(fields, b"options"),
    )
    log.userdb_record(account, _text(fields, b"shell"))
    return account


def _text(fields: Fields, name: bytes) -> str | None:
    return text(fields[name]) if name in fields else None


def _changed(shadow: Fields, service: bytes, old: bytes, new: bytes) -> dict[bytes, bytes | None]:
    """The fields that hold the old password, made of the new one."""
    changed: dict[bytes, bytes | None] = {}
    plain = service + b"pw" if service + b"pw" in shadow else b"systempw"
    if plain in shadow and passwords.fits(old, shadow[plain]):
        changed[plain] = passwords.like(new, shadow[plain])
    for function in hmac_state.HASHES.values():
        name = f"hmac-{function.name}pw".encode()
        for field in (service + b"-" + name, name):
            if shadow.get(field, b"").lower() == hmac_state.secret(function, old):
                changed[field] = hmac_state.secret(function, new)
    for mechanism in scram.HASHES:
        name = mechanism.lower() + b"pw"
        for field in (service + b"-" + name, name):
            keys = scram.read(shadow.get(field, b""))
            if keys is not None and scram.fits(old, keys):
                changed[field] = passwords.like(new, shadow[field])
    return changed


BACKEND = AuthUserdb
