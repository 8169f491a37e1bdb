"""authpam: the system's users, their passwords checked by PAM under the service's name.

PAM's modules may take their time, so each worker has one check at a time. Of the time that they
want a failed attempt to take (pam_fail_delay), the worker only takes note: the dispatcher holds
the reply back, and the worker is free for others.
"""

from __future__ import annotations

import copy
import ctypes
import importlib
import pwd
from dataclasses import replace
from typing import Any

from authdaemond import log
from authdaemond.backends import comparison, shadow, system
from authdaemond.backends.backend import Rejected
from courier.auth.account import Account, Secret
from courier.auth.request import Authenticate

_pam: Any = importlib.import_module("pam")  # python-pam has no annotations

# <security/_pam_types.h>; the second isn't among python-pam's constants.
_PAM_RHOST = 4
_PAM_FAIL_DELAY = 10
_PAM_SUCCESS = 0
_DelayFunction = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)

# PAM's texts may be in any charset; this one reads, and writes back, every octet.
_ANY_CHARSET = "latin-1"


class AuthPam(system.SystemBackend):
    NAME = "authpam"

    def __init__(self) -> None:
        # Finding libpam runs ldconfig, so it is found once.
        self._prototype: Any = _pam.PamAuthenticator()

    def login(self, request: Authenticate) -> Account:
        account = self.found(request.first)
        check = _Check(self._prototype, request)
        comparison.with_stored(account.passwd)
        if not check.passes():
            raise Rejected(check.delay_s)
        return replace(account, clear=request.second)

    def stored(self, found: pwd.struct_passwd) -> Secret:
        """The hash is told where it can be read; nothing depends on it."""
        try:
            entry = shadow.entry(found.pw_name)
        except OSError:
            entry = None
        return Secret(
            found.pw_passwd.encode("utf-8", "surrogateescape") if entry is None else entry.stored
        )


class _Check:
    """One conversation with PAM: authentication and account stage."""

    def __init__(self, prototype: Any, request: Authenticate) -> None:
        self.delay_s = 0.0
        self._request = request
        self._stage = "pam_start"
        self._rhost = ctypes.c_char_p(request.remote_ip or None)
        self._note_delay = _DelayFunction(self._delay)
        # An authenticator keeps handle and messages of its check: each has its own.
        self._pam = copy.copy(prototype)
        self._pam.messages = []
        self._start = self._pam.pam_start
        self._pam.pam_start = self._start_with_items
        for stage in ("pam_authenticate", "pam_acct_mgmt"):
            setattr(self._pam, stage, self._named(stage, getattr(self._pam, stage)))

    def passes(self) -> bool:
        service, userid = self._request.service, self._request.first
        log.debug("pam_service=%s, pam_username=%s", service, userid)
        passed: bool = self._pam.authenticate(
            userid,
            self._request.second.reveal(),
            service,
            encoding=_ANY_CHARSET,
            resetcreds=False,  # there is no session here that credentials could be for
        )
        for text in self._pam.messages:
            # python-pam doesn't tell a message from a prompt; prompts end in a colon.
            if not text.rstrip().endswith(":"):
                log.info(text)
        if passed:
            log.debug("dopam successful")
        else:
            log.debug("%s failed, result %s", self._stage, self._pam.code)
        return passed

    def _start_with_items(self, *arguments: Any) -> int:
        result: int = self._start(*arguments)
        if result == _PAM_SUCCESS:
            handle = self._pam.handle
            if self._rhost.value:
                self._pam.pam_set_item(handle, _PAM_RHOST, self._rhost)
            function = ctypes.cast(self._note_delay, ctypes.c_void_p)
            self._pam.pam_set_item(handle, _PAM_FAIL_DELAY, function)
        return result

    def _named(self, stage: str, function: Any) -> Any:
        def call(*arguments: Any) -> int:
            self._stage = stage
            result: int = function(*arguments)
            return result

        return call

    def _delay(self, result: int, delay_us: int, data: int | None) -> None:
        if result != _PAM_SUCCESS:
            self.delay_s = max(self.delay_s, delay_us / 1e6)


BACKEND = AuthPam
