"""Accounts of the system: what authpam, authpwd and authshadow share."""

from __future__ import annotations

import pwd
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected, text
from courier.auth import passwords
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, Lookup

_FIRST_UID = 100


class SystemBackend(Backend, ABC):
    NEEDS_ROOT = True

    def lookup(self, request: Lookup) -> Account:
        found = passwd_entry(request.userid)
        return replace(account(found), passwd=self.stored(found))

    def login(self, request: Authenticate) -> Account:
        found = passwd_entry(request.first)
        stored = self.stored(found)
        if stored is None:
            raise Rejected
        if not passwords.fits(request.second.reveal(), stored.reveal()):
            log.password_differs(request.second, stored)
            raise Rejected
        log.password_fits()
        return replace(account(found), passwd=stored, clear=request.second)

    @abstractmethod
    def stored(self, found: pwd.struct_passwd) -> Secret | None:
        """Return the hash of a user's password.

        Raises:
            Rejected: this user can't log in now.
        """

    def accounts(self) -> Iterator[Account]:
        for found in pwd.getpwall():
            if found.pw_uid >= _FIRST_UID:
                listed = account(found)
                yield replace(listed, uid=found.pw_uid)


def passwd_entry(userid: bytes) -> pwd.struct_passwd:
    """Look a system user up.

    Raises:
        Rejected: there is none of this name.
    """
    try:
        return pwd.getpwnam(text(userid))
    except (KeyError, UnicodeError):
        raise Rejected from None


def account(found: pwd.struct_passwd) -> Account:
    return Account(
        address=found.pw_name,
        gid=found.pw_gid,
        home=found.pw_dir,
        username=found.pw_name,
        fullname=found.pw_gecos,
    )
