"""makeuserdb: compile userdb's text into userdb.dat and userdbshadow.dat. See makeuserdb(8)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from courier.auth import userdb, userdb_source
from courier.auth.userdb_source import Failed


def main(arguments: Sequence[str]) -> int:
    try:
        userdb_source.build(_source(arguments))
    except Failed as failure:
        for line in failure.lines:
            print(line, file=sys.stderr)
        return failure.status
    except OSError as error:
        print(f"makeuserdb: {error.filename}: {error.strerror}", file=sys.stderr)
        return error.errno or 255
    return 0


def _source(arguments: Sequence[str]) -> Path:
    # Courier: whatever else stands there is ignored.
    if arguments[:1] != ["-f"]:
        return userdb.SOURCE
    if len(arguments) < 2 or not arguments[1]:
        raise Failed(2, ": not found.")
    return Path(arguments[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
