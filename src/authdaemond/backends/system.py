"""Accounts of the system: what authpam, authpwd and authshadow share."""

from __future__ import annotations

import pwd
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected, check_password, text
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, Lookup

_FIRST_UID = 100


class SystemBackend(Backend, ABC):
    NEEDS_ROOT = True

    #: As it stands in authmodulelist.
    NAME: str

    def lookup(self, request: Lookup) -> Account:
        return self.found(request.userid)

    def login(self, request: Authenticate) -> Account:
        account = self.found(request.first)
        check_password(account.passwd, request.second)
        return replace(account, clear=request.second)

    def found(self, userid: bytes) -> Account:
        """Return a system user's account with the stored password."""
        entry = passwd_entry(userid)
        account = replace(account_of(entry), passwd=self.stored(entry))
        log.found(self.NAME, account)
        return account

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


def passwd_entry(userid: bytes) -> pwd.struct_passwd:
    """Look a system user up.

    Raises:
        Rejected: there is none of this name.
    """
    try:
        return pwd.getpwnam(text(userid))
    except (KeyError, UnicodeError):
        raise Rejected from None


def account_of(found: pwd.struct_passwd) -> Account:
    return Account(
        address=found.pw_name,
        gid=found.pw_gid,
        home=found.pw_dir,
        username=found.pw_name,
        fullname=found.pw_gecos,
    )
