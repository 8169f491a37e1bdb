"""authtest: ask authdaemond about an account, its password, or to change it. See authtest(1)."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from courier.auth import client
from courier.auth.account import Account, Secret
from courier.auth.reply import Changed, Temporary
from courier.auth.request import Authenticate, ChangePassword, Lookup, Refused, Request

_USAGE = "Usage: authtest [-s service] userid [ password [ newpassword ] ]\n"
_SERVICE = "login"


class Usage(Exception):
    """The command line is none."""


def main(arguments: Sequence[str]) -> int:
    try:
        request = _request(arguments)
    except Usage:
        sys.stderr.write(_USAGE)
        return 1
    try:
        outcome = client.ask(request, limits=client.timeouts(os.environ))
    except Refused:
        return _failed(errno.EINVAL)
    match outcome:
        case Account():
            sys.stdout.write("Authentication succeeded.\n\n" + _shown(outcome))
            return 0
        case Changed():
            sys.stderr.write("Password change succeeded.\n")
            return 0
        case Temporary():
            if outcome.errno != errno.EIO:
                for line in client.complaints(outcome):
                    sys.stderr.write(f"ERR: {line}\n")
            return _failed(outcome.errno)
    return _failed(errno.EPERM)


def _request(arguments: Sequence[str]) -> Request:
    service, rest = _service(list(arguments))
    words = [os.fsencode(word) for word in rest]
    name = os.fsencode(service)
    remote_ip = os.fsencode(os.environ.get("TCPREMOTEIP") or "::1")
    match words:
        case [userid]:
            return Lookup(name, userid, remote_ip=remote_ip)
        case [userid, password]:
            return Authenticate(name, b"login", userid, Secret(password), remote_ip)
        case [userid, password, new, *_]:  # Courier: what follows is ignored
            return ChangePassword(name, userid, Secret(password), Secret(new), remote_ip)
    raise Usage


def _service(arguments: list[str]) -> tuple[str, list[str]]:
    """Take `-s service`, `-sservice` and a lone `-`, which ends the options, off the front."""
    service = _SERVICE
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("-", "--"):
            break
        if not option.startswith("-s") or (option == "-s" and not arguments):
            raise Usage
        service = option[2:] or arguments.pop(0)
    return service, arguments


def _shown(account: Account) -> str:
    if account.username is None:
        who = f"uid {account.uid}, gid {account.gid}"
    else:
        who = f"system username: {account.username}"
    rows = [
        ("Authenticated", f"{account.address}  ({who})"),
        ("Home Directory", account.home),
        ("Maildir", account.maildir),
        ("Quota", account.quota),
        ("Encrypted Password", _revealed(account.passwd)),
        ("Cleartext Password", _revealed(account.clear)),
        ("Options", account.options),
    ]
    return "".join(
        f"{label:>18}: {'(none)' if value is None else value}\n" for label, value in rows
    )


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal().decode("utf-8", "surrogateescape")


def _failed(number: int) -> int:
    sys.stderr.write(f"Authentication FAILED: {os.strerror(number)}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
