"""authshadow: the system's users, their passwords from /etc/shadow. No PAM is asked."""

from __future__ import annotations

import pwd
import time

from authdaemond import log
from authdaemond.backends import shadow, system
from authdaemond.backends.backend import Rejected
from courier.auth.account import Secret

_DAY_S = 86_400


class AuthShadow(system.SystemBackend):
    NAME = "authshadow"

    def stored(self, found: pwd.struct_passwd) -> Secret:
        entry = shadow.entry(found.pw_name)
        if entry is None:
            raise Rejected
        today = int(time.time()) // _DAY_S
        if entry.account_has_expired(today):
            log.debug("authshadow: %s - account expired", found.pw_name)
            raise Rejected
        if entry.password_has_expired(today):
            log.debug("authshadow: %s - password expired", found.pw_name)
            raise Rejected
        return Secret(entry.stored)


BACKEND = AuthShadow
