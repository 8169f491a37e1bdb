"""Accounts of the system: what authpam, authpwd and authshadow share."""

from __future__ import annotations

import pwd
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected, check_password, text
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, Lookup

_FIRST_UID = 100


class SystemBackend(Backend, ABC):
    NEEDS_ROOT = True
    FILES = (Path("/etc/passwd"), Path("/etc/shadow"))

    #: As it stands in authmodulelist.
    NAME: str

    def lookup(self, request: Lookup) -> Account:
        return self.found(request.userid)

    def login(self, request: Authenticate) -> Account:
        account = self.found(request.first)
        check_password(account.passwd, request.second)
        return replace(account, clear=request.second)

    def cram(self, request: Authenticate) -> Account:
        log.debug("%s only handles authtype=login", self.NAME)
        raise Rejected

    def found(self, userid: bytes) -> Account:
        """Return a system user's account with the stored password.

        Raises:
            Rejected: there is no such user.
        """
        try:
            entry = pwd.getpwnam(text(userid))
        except (KeyError, UnicodeError):
            log.debug("%s: username '%s' not found in password file", self.NAME, userid)
            raise Rejected from None
        account = account_of(entry)
        log.found(self.NAME, account)
        return replace(account, passwd=self.stored(entry))

    @abstractmethod
    def stored(self, found: pwd.struct_passwd) -> Secret | None:
        """Return the hash of a user's password.

        Raises:
            Rejected: this user can't log in now.
        """

    def accounts(self) -> Iterator[Account]:
        for found in pwd.getpwall():
            if found.pw_uid >= _FIRST_UID:
                yield replace(account_of(found), uid=found.pw_uid)


def account_of(found: pwd.struct_passwd) -> Account:
    return Account(
        address=found.pw_name,
        gid=found.pw_gid,
        home=found.pw_dir,
        username=found.pw_name,
        fullname=found.pw_gecos,
        passwd=Secret(found.pw_passwd.encode("utf-8", "surrogateescape")),
    )
