"""authenumerate: list all accounts that authdaemond knows. See authenumerate(1)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from courier.auth import client, options
from courier.auth.account import Account

_USAGE = "Usage: authenumerate [-s] [-o]\n"


def main(arguments: Sequence[str]) -> int:
    if any(argument not in ("-s", "-o") for argument in arguments):
        sys.stderr.write(_USAGE)
        return 1
    try:
        for account in client.enumerate_accounts():
            if "-s" in arguments and _is_unshared(account):
                continue
            sys.stdout.buffer.write(_line(account, with_options="-o" in arguments))
    except OSError as error:
        # Courier's words, if also of a daemon that hung up in the middle.
        sys.stderr.write(f"ERR: authdaemon: s_connect() failed: {error.strerror or error}\n")
        return 1
    return 0


def _is_unshared(account: Account) -> bool:
    """Courier: here an option is on if it is a number but 0, and no word."""
    value = options.get(account.options, "disableshared") or ""
    return value[:1].isdigit() and bool(int("".join(c for c in value if c.isdigit())[:9]))


def _line(account: Account, *, with_options: bool) -> bytes:
    fields = [
        *(account.address, str(account.uid), str(account.gid), account.home),
        account.maildir or "",
    ]
    if with_options:
        fields.append(account.options or "")
    return "\t".join(fields).encode("utf-8", "surrogateescape") + b"\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
