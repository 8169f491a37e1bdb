"""Accounts of the system: what authpam, authpwd and authshadow share."""

from __future__ import annotations

import os
import pwd
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from authdaemond import log
from authdaemond.backends.backend import Backend, Rejected, Unavailable, check_password, text
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate, ChangePassword, Lookup

_FIRST_UID = 100
_PASSWD = "/usr/bin/passwd"
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_PATIENCE_S = 30.0


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

    def change_password(self, request: ChangePassword) -> None:
        """Have passwd(1) do it on behalf of the user, whom it asks for the old password.

        So what the machine asks of a password holds for this one, too. Courier: likewise.
        """
        try:
            user = pwd.getpwnam(text(request.userid))
        except (KeyError, UnicodeError):
            raise Rejected from None
        # It would ask root for no old password; and without root change this process's user's own.
        if user.pw_uid == 0 or os.geteuid() != 0:
            raise Rejected
        old, new = request.old.reveal(), request.new.reveal()
        try:
            done = subprocess.run(
                [_PASSWD],
                input=b"%b\n%b\n%b\n" % (old, new, new),
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                cwd="/", env=_ENVIRONMENT, timeout=_PATIENCE_S, check=False,
                preexec_fn=lambda: os.setresuid(user.pw_uid, 0, 0),  # as if its file's set-uid bit did it
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{_PASSWD} did not end in {_PATIENCE_S:.0f} seconds") from None
        for line in done.stdout.splitlines():
            log.debug("passwd: %s", line)
        if done.returncode != 0:
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
