"""Reading a new password: from a terminal twice, unseen, else one line of standard input."""

from __future__ import annotations

import getpass
import os
import sys


def read() -> bytes:
    """Read one line, or ask twice at a terminal.

    Raises:
        EOFError: there is nothing to read.
    """
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline()
        if not line:
            raise EOFError
        return line.removesuffix(b"\n")
    while True:
        typed = getpass.getpass("Password: ", sys.stderr)
        if getpass.getpass("Reenter password: ", sys.stderr) == typed:
            return os.fsencode(typed)
        print("Passwords don't match.", file=sys.stderr)
