"""authdaemond's log lines: each event is one function, and its format stands here once.

They are Courier's (`log.py` of the core has the mail servers'). Debug lines are written at
DEBUG_LOGIN=1, passwords at 2 alone.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Iterator, Mapping

from courier.auth.account import Account, Secret
from courier.log import write

#: Courier cuts its messages there.
_LONGEST = 1023
_UNPRINTABLE = re.compile(r"[^ -~]")

_level = 0
_TOLD_AGAIN_S = 600.0
_told: dict[str, float] = {}  # when, by time.monotonic


def set_level(level: int) -> None:
    """Say what DEBUG_LOGIN is in this process."""
    global _level  # noqa: PLW0603  a process has one log
    _level = level


# --- The daemon -----------------------------------------------------------------------------------


def modules(names: tuple[str, ...], daemons: int) -> None:
    write(f'INFO: modules="{" ".join(names)}", daemons={daemons}')


def no_daemons() -> None:
    write("ERR: Configuration error - missing 'daemons' setting, using 1")


def installing(name: str) -> None:
    # Courier loads a library; administrators know the line.
    write(f"INFO: Installing lib{name}.so.0")


def installed(name: str) -> None:
    write(f"INFO: Installation complete: {name}")


def not_installed(reason: str) -> None:
    write(f"INFO: {reason}")


def uninstalling(name: str) -> None:
    write(f"INFO: Uninstalling {name}")


def stopping() -> None:
    write("INFO: stopping authdaemond children")


def restarting() -> None:
    write("INFO: restarting authdaemond children")


def info(text: str) -> None:
    write(f"INFO: {_printable(text)}")


def warn(text: str) -> None:
    write(f"WARN: {_printable(text)}")


def error(text: str) -> None:
    write(f"ERR: {_printable(text)}")


def bug(where: str, failure: BaseException) -> None:
    """A traceback; what a client sent doesn't stand in it."""
    write(f"ERR: {where}: internal error, its traceback follows")
    for line in traceback.format_tb(failure.__traceback__):
        for part in line.splitlines():
            write(f"ERR: {_printable(part)}")
    write(f"ERR: {type(failure).__name__}")


def system_error(what: str, failure: OSError) -> None:
    path = f": {failure.filename}" if failure.filename else ""
    write(f"ERR: {_printable(what + path)}: {failure.strerror or failure}")


def recurring(what: str, failure: OSError) -> None:
    """As `system_error`, for what is tried again and again: told every ten minutes at most."""
    now = time.monotonic()
    if now - _told.get(what, float("-inf")) > _TOLD_AGAIN_S:
        _told[what] = now
        system_error(what, failure)


# --- Requests, at DEBUG_LOGIN=1 -------------------------------------------------------------------


def request(service: bytes, authtype: bytes) -> None:
    debug("received auth request, service=%s, authtype=%s", service, authtype)


def lookup(userid: bytes) -> None:
    debug("received userid lookup request: %s", userid)


def trying(name: str) -> None:
    debug("%s: trying this module", name)


def rejected(name: str) -> None:
    debug("%s: REJECT - try next module", name)


def temporary(name: str) -> None:
    debug("%s: TEMPFAIL - no more modules will be tried", name)


def all_rejected() -> None:
    debug("FAIL, all modules rejected")


def known() -> None:
    debug("password was accepted a moment ago")


def old_challenge() -> None:
    debug("scram: not the answer to a challenge of the last minute")


def list_ended(name: str) -> None:
    debug("enumeration terminated prematurely in module %s", name)


def password_fits() -> None:
    debug("password matches successfully")


def password_differs(given: Secret, stored: Secret) -> None:
    if _level > 1:
        debug(
            "supplied password '%s' does not match encrypted password '%s'",
            given.reveal(),
            stored.reveal(),
        )
    else:
        debug("supplied password does not match encrypted password")


def cram(challenge: bytes, response: Secret) -> None:
    debug("cram: challenge=%s, response=%s", challenge, response.reveal())


def cram_result(fits: bool) -> None:
    debug(f"cram validation {'succeeded' if fits else 'failed'}")


def scram_result(fits: bool) -> None:
    debug(f"scram validation {'succeeded' if fits else 'failed'}")


def authenticated(account: Account) -> None:
    """What a module knows of who was let in, without what is added for everybody."""
    if _level > 0:
        for line in _account_lines(account):
            write(f"INFO: Authenticated: {line}"[:_LONGEST])


def found(name: str, account: Account) -> None:
    """What a module knows of an account, before its password is looked at."""
    if _level > 0:
        for line in _account_lines(account):
            write(f"DEBUG: {name}: {line}"[:_LONGEST])


def userdb_record(account: Account, shell: str | None) -> None:
    if _level == 0:
        return
    fields = {
        "home": account.home,
        "uid": account.uid,
        "gid": account.gid,
        "shell": shell,
        "mail": account.maildir,
        "quota": account.quota,
        "gecos": account.fullname,
        "options": account.options,
    }
    debug("userdb: " + _listed(fields, "<unset>").replace("%", "%%"))


def debug(text: str, *values: bytes | str | int) -> None:
    """Write a debug line; octets in ``values`` that can't be printed become dots."""
    if _level > 0:
        shown = (
            value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values
        )
        write("DEBUG: " + _printable(text % tuple(shown)))


def _account_lines(account: Account) -> Iterator[str]:
    fields = {
        "sysusername": account.username,
        "sysuserid": account.uid,
        "sysgroupid": account.gid,
        "homedir": account.home,
        "address": account.address,
        "fullname": account.fullname,
        "maildir": account.maildir,
        "quota": account.quota,
        "options": account.options,
    }
    yield _printable(_listed(fields, "<null>"))
    if _level > 1:
        secrets = {
            name: None if secret is None else secret.reveal().decode("latin-1")
            for name, secret in (("clearpasswd", account.clear), ("passwd", account.passwd))
        }
        yield _printable(_listed(secrets, "<null>"))


def _listed(fields: Mapping[str, str | int | None], missing: str) -> str:
    return ", ".join(
        f"{name}={missing if value is None else value}" for name, value in fields.items()
    )


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(".", text[:_LONGEST])
