"""authcustom: accounts that a Python file of the administrator's knows, /etc/courier/authcustom.py.

The file may define any of these functions; what it lacks rejects (see authcustom(5)):

    lookup(service, userid)                 -> account or None
    login(service, userid, password)        -> account or None
    change_password(service, userid, old, new) -> bool
    accounts()                              -> iterable of accounts

All arguments are `str`, an account is a dictionary of authdaemond's attributes: ADDRESS, HOME, GID, and UID
or USERNAME, and if known NAME, MAILDIR, QUOTA, PASSWD, PASSWD2, OPTIONS. Without ``login`` the password is
compared with PASSWD2 or PASSWD of what ``lookup`` gives; CRAM needs PASSWD2. ``None`` rejects; an
exception is a temporary failure.

SECURITY
    The file is code that runs as the mail user: it is loaded only if it and its directory belong to root (or
    to whoever runs the daemon), and nobody else may write them.
"""

from __future__ import annotations

import os
import stat
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from authdaemond import log
from authdaemond.backends import comparison
from authdaemond.backends.backend import (
    Backend,
    Rejected,
    Unavailable,
    check_cram,
    check_password,
    response,
    text,
)
from courier import paths
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup

FILE = paths.SYSCONFDIR / "authcustom.py"

_TEXTS = {
    "USERNAME": "username",
    "MAILDIR": "maildir",
    "QUOTA": "quota",
    "NAME": "fullname",
    "OPTIONS": "options",
}
_KNOWN = {*_TEXTS, "ADDRESS", "HOME", "UID", "GID", "PASSWD", "PASSWD2"}


class AuthCustom(Backend):
    NAME = "authcustom"
    FILES = (FILE,)

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._stamp: object = None
        self._functions: Mapping[str, Callable[..., Any]] = {}

    def lookup(self, request: Lookup) -> Account:
        return self._account("lookup", text(request.service), text(request.userid))

    def login(self, request: Authenticate) -> Account:
        names = text(request.service), text(request.first)
        if "login" in self._loaded():
            account = self._account("login", *names, text(request.second.reveal()))
        else:
            account = self._account("lookup", *names)
            if account.clear is None:
                check_password(account.passwd, request.second)
            else:
                comparison.with_clear_text()
                if account.clear != request.second:
                    log.password_differs(request.second, account.clear)
                    raise Rejected
        return account if account.clear else replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        answer = response(request)
        account = self._account("lookup", text(request.service), text(answer.userid))
        check_cram(answer, account.clear)
        return account

    def change_password(self, request: ChangePassword) -> None:
        secrets = text(request.old.reveal()), text(request.new.reveal())
        if (
            self._call("change_password", text(request.service), text(request.userid), *secrets)
            is not True
        ):
            raise Rejected

    def check(self) -> None:
        self._loaded()

    def accounts(self) -> Iterator[Account]:
        for given in self._call("accounts") or ():
            account = self._made(given)
            if account.uid is not None:
                yield account

    def _account(self, name: str, *arguments: str) -> Account:
        given = self._call(name, *arguments)
        if given is None:
            raise Rejected
        return self._made(given)

    def _call(self, name: str, *arguments: str) -> Any:
        function = self._loaded().get(name)
        if function is None:
            return None
        try:
            return function(*arguments)
        except Exception as error:
            # Its text may hold a password.
            raise Unavailable(f"{self._file}: {name}: {type(error).__name__}") from error

    def _loaded(self) -> Mapping[str, Callable[..., Any]]:
        """Give the file's functions, read again if it changed; none if there is no file."""
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            log.debug("authcustom: nothing implemented in %s", str(self._file))
            return {}
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            _check_owner(self._file)
            _check_owner(self._file.parent)
            self._functions = self._read()
            self._stamp = stamp
        return self._functions

    def _read(self) -> Mapping[str, Callable[..., Any]]:
        module = types.ModuleType("authcustom")
        module.__file__ = str(self._file)
        try:
            exec(compile(self._file.read_bytes(), self._file, "exec"), module.__dict__)
        except Exception as error:
            raise Unavailable(f"{self._file}: {type(error).__name__}: {error}") from error
        names = ("lookup", "login", "change_password", "accounts")
        return {name: value for name in names if callable(value := module.__dict__.get(name))}

    def _made(self, given: object) -> Account:
        """Make an account of what a function gave. Raises Unavailable if it is none."""
        try:
            return _made(given)
        except (TypeError, ValueError, KeyError) as error:
            raise Unavailable(f"{self._file}: no account: {error}") from error


def _check_owner(path: Path) -> None:
    found = os.stat(path)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unavailable(f"{path}: expected to belong to root and to be writable by nobody else")


def _made(given: object) -> Account:
    if not isinstance(given, Mapping):
        raise TypeError(f"expected a dictionary, found {type(given).__name__}")
    unknown = sorted(map(str, given.keys() - _KNOWN))
    if unknown:
        raise ValueError(f"unknown attribute {unknown[0]}")
    uid = given.get("UID")
    if uid is None and given.get("USERNAME") is None:
        raise KeyError("UID or USERNAME is missing")
    return Account(
        address=str(given["ADDRESS"]),
        gid=_number(given["GID"]),
        home=str(given["HOME"]),
        uid=None if uid is None else _number(uid),
        passwd=_secret(given.get("PASSWD")),
        clear=_secret(given.get("PASSWD2")),
        **{name: str(given[key]) for key, name in _TEXTS.items() if given.get(key) is not None},
    )


def _number(value: object) -> int:
    number = int(str(value))
    if not 0 <= number < 2**32 - 1:
        raise ValueError(f"expected a uid or gid, found {number}")
    return number


def _secret(value: object) -> Secret | None:
    return None if value is None else Secret(str(value).encode("utf-8", "surrogateescape"))


BACKEND = AuthCustom
