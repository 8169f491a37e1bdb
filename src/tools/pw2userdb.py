"""pw2userdb: turn passwd(5) and shadow(5) into userdb's text. See pw2userdb(8)."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_PASSWD = Path("/etc/passwd")
_SHADOW = Path("/etc/shadow")
_PASSWD_FIELDS = 7
#: Perl's exit code after `die`, which scripts may know.
_DIED = 255


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what Courier's says."""
        for word in self.unknown:
            print(f"Unknown option: {word}", file=sys.stderr)
        print("Invalid options.", file=sys.stderr)
        sys.exit(_DIED)

    unknown: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is done to each account."""

    domain: str = ""  # with the at sign
    nouid: bool = False  # no line from the uid to the account
    ids: tuple[str, str] | None = None  # in place of the account's own


def main(arguments: Sequence[str]) -> int:
    parser = _Parser(prog="pw2userdb", allow_abbrev=True)
    parser.add_argument("--passwd", type=Path, default=_PASSWD)
    parser.add_argument("--shadow", type=Path, default=_SHADOW)
    parser.add_argument("--noshadow", action="store_true")
    parser.add_argument("--nouid", action="store_true")
    parser.add_argument("--domain", default="")
    parser.add_argument("--vpopuid", action="store_true", help="uid and gid of the user vpopmail")
    options, rest = parser.parse_known_args(arguments)
    if rest:
        parser.unknown = [word.lstrip("-") for word in rest]
        parser.error("")
    conversion = Conversion(
        f"@{options.domain}" if options.domain else "",
        options.nouid,
        vpopmail_ids() if options.vpopuid else None,
    )
    try:
        hashes = {} if options.noshadow else _hashes(options.shadow)
        for line in convert(options.passwd, hashes, conversion):
            sys.stdout.buffer.write(line)
    except OSError as error:
        print(f"{error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        return error.errno or 1
    return 0


def vpopmail_ids() -> tuple[str, str]:
    """Give vpopmail's uid and gid; empty where there is no such user."""
    try:
        found = pwd.getpwnam("vpopmail")
    except KeyError:
        return "", ""
    return str(found.pw_uid), str(found.pw_gid)


def convert(passwd: Path, hashes: Mapping[bytes, bytes], conversion: Conversion) -> Iterator[bytes]:
    """Yield userdb's lines for the accounts of a file in passwd(5)'s format.

    Raises:
        OSError: the file can't be read.
    """
    for fields in _lines(passwd, _PASSWD_FIELDS):
        name, stored, uid, gid, gecos, home, shell = fields[:_PASSWD_FIELDS]
        stored = hashes.get(name, b"" if stored == b"x" else stored)
        if conversion.ids is not None:
            uid, gid = map(os.fsencode, conversion.ids)
        pairs = [(b"uid", uid), (b"gid", gid), (b"home", home)]
        optional = [(b"shell", shell), (b"systempw", stored), (b"gecos", gecos)]
        pairs += [(key, value) for key, value in optional if value]
        written = b"|".join(key + b"=" + value.replace(b"|", b".") for key, value in pairs)
        account = name + os.fsencode(conversion.domain)
        yield account + b"\t" + written + b"\n"
        if not conversion.nouid:
            yield uid + b"=\t" + account + b"\n"


def _hashes(shadow: Path) -> dict[bytes, bytes]:
    """Read shadow(5); a machine without it has its hashes in passwd(5)."""
    try:
        return {fields[0]: fields[1] for fields in _lines(shadow, 2)}
    except FileNotFoundError:
        return {}


def _lines(path: Path, least: int) -> Iterator[list[bytes]]:
    for line in path.read_bytes().split(b"\n"):
        fields = line.split(b":")
        if not line.startswith(b"#") and len(fields) >= least:
            yield fields


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
