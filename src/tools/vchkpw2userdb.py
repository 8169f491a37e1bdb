"""vchkpw2userdb: turn vpopmail's accounts into userdb's text. See vchkpw2userdb(8)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import pw2userdb
from tools.pw2userdb import Conversion

_DEFAULT_HOME = "~vpopmail"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vchkpw2userdb",
        description="Turn the accounts of vpopmail into userdb's text, on standard output.",
    )
    parser.add_argument("--vpopmailhome", metavar="DIR", default=_DEFAULT_HOME)
    parser.add_argument("--todir", metavar="DIR", type=Path, help="write a file for each domain")
    options = parser.parse_args(arguments)
    home = Path(os.path.expanduser(options.vpopmailhome))
    found = list(_files(home))
    if not found:
        print(f"vchkpw2userdb: {home}: no vpasswd file in users or domains", file=sys.stderr)
        return 1
    try:
        for domain, file in found:
            text = b"".join(
                pw2userdb.convert(file, {}, Conversion(domain, True, pw2userdb.vpopmail_ids()))
            )
            if options.todir is None:
                sys.stdout.buffer.write(text)
            else:
                target = options.todir / (domain.removeprefix("@") or "default")
                _write_new(target, text)
    except OSError as error:
        print(
            f"vchkpw2userdb: {error.filename or 'cannot write'}: {error.strerror}", file=sys.stderr
        )
        return 1
    return 0


def _write_new(path: Path, text: bytes) -> None:
    """Write a file that is not there yet, for nobody else to read: it holds hashes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(text)


def _files(home: Path) -> Iterator[tuple[str, Path]]:
    """Yield each vpasswd file, and what is appended to its accounts' names.

    ``domains/default`` may be a link to ``users``, whose accounts have no domain.
    """
    if (home / "users/vpasswd").is_file():
        yield "", home / "users/vpasswd"
    for file in sorted((home / "domains").glob("*/vpasswd")):
        if file.parent.name != "default":
            yield f"@{file.parent.name}", file
        elif not (home / "users/vpasswd").is_file():
            yield "", file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
