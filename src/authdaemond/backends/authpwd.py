"""authpwd: the system's users, their passwords from passwd(5) itself."""

from __future__ import annotations

import pwd

from authdaemond.backends import system
from courier.auth.account import Secret


class AuthPwd(system.SystemBackend):
    NAME = "authpwd"
    NEEDS_ROOT = False

    def stored(self, found: pwd.struct_passwd) -> Secret:
        return Secret(found.pw_passwd.encode("utf-8", "surrogateescape"))


BACKEND = AuthPwd
