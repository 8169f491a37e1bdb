"""authpasswd: turn a password on standard input into a hash of the kind asked for. See authpasswd(1)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from courier.auth import passwords
from tools import typed_password

#: Courier cuts the name of a kind there.
_LONGEST = 15


def main(arguments: Sequence[str]) -> int:
    try:
        password = typed_password.read()
    except EOFError:
        return 1
    if arguments:
        # Courier: a kind that it does not know is {SSHA}.
        kind = os.fsencode(arguments[0])[:_LONGEST]
        made = passwords.of_kind(password, kind)
    else:
        made = passwords.md5_crypt(password)
    sys.stdout.buffer.write(made + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
